"""One frame as it is stored, with the display settings of its header."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAX_PIXELS: Final = 100_000_000
"""Rows x Columns that are decoded at most: three times the largest mammography detectors."""

MIN_EDGE: Final = 64
"""Least rows and columns of an image."""

MONOCHROME: Final = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LookUpTable:
    """A Modality or VOI LUT (PS3.3 C.11.1.1, C.11.2.1.1).

    Attributes
    ----------
    entries : (n,) uint16
    first : the input that the first entry is for; inputs beyond the ends take the end's entry
    bits : of an entry
    """

    entries: NDArray[np.uint16]
    first: int
    bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window of the VOI LUT module (PS3.3 C.11.2.1.2, C.11.2.1.3).

    Attributes
    ----------
    function : ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``
    """

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisplayHeader:
    """Display settings of a header, beyond the rescale.

    Attributes
    ----------
    modality_table : in place of the rescale
    voi_table : goes before a window
    is_inverted : whether the Presentation LUT Shape is INVERSE
    padding : lowest and highest padding value, or None
    pixel_aspect : height of a pixel for a width of 1
    """

    modality_table: LookUpTable | None = None
    voi_table: LookUpTable | None = None
    window: Window | None = None
    is_inverted: bool = False
    padding: tuple[int, int] | None = None
    pixel_aspect: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionHeader:
    """How one image was taken.

    Attributes
    ----------
    spacing_mm : from row to row and from column to column, in the plane of the breast
        None where the header does not tell, or magnification hides it.
    orientation : directions of rows and of columns as in Patient Orientation, or None
    is_whole_breast : whether it is a flat image of a whole breast without an implant
        Not a slice of a volume, no partial view, and none that is rolled, magnified, compressed on
        a spot or has an implant displaced.
    acquired_on : ISO date of the acquisition, empty where the header does not tell
    """

    spacing_mm: tuple[float, float] | None
    orientation: tuple[str, str] | None
    is_whole_breast: bool
    acquired_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredImage:
    """One frame as it is stored: before rescale, inversion and any window.

    Attributes
    ----------
    values : (rows, columns) uint8, int8, uint16 or int16
        Stored pixel values, bits above Bits Stored removed, sign applied.
    photometric_interpretation : ``MONOCHROME1`` or ``MONOCHROME2``
    rescale_slope, rescale_intercept : float
        Of the Modality LUT; 1 and 0 where the data set has none.
    frame : 1 or more
    is_prepared : bool
        Whether it was cropped and scaled before, as its file says.
    may_be_prepared : bool
        Whether an image of the model's input size is one that was already cropped and scaled.
    remark : what a reader of the result should know of how pixels and header were read; mostly
        empty
    projection : None for a picture, which has no header
    """

    sop_instance_uid: str
    values: NDArray[Any]
    photometric_interpretation: str
    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    bits_stored: int = 16
    frame: int = 1
    number_of_frames: int = 1
    is_prepared: bool = False
    may_be_prepared: bool = False
    remark: str = ""
    projection: ProjectionHeader | None = None
    display: DisplayHeader = DisplayHeader()

    @property
    def is_whole_breast(self) -> bool:
        """Tell whether its header says that it is a flat view of a whole breast."""
        return self.projection is not None and self.projection.is_whole_breast

    @property
    def rows(self) -> int:
        """Return the height in pixels."""
        return int(self.values.shape[0])

    @property
    def columns(self) -> int:
        """Return the width in pixels."""
        return int(self.values.shape[1])
