"""From stored values to the 8-bit picture that a viewer would show, at a bounded size."""

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from highdicom.pixels import apply_lut, apply_voi_window
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.header_values import number_of
from dicom_node.objects.image_geometry import pixel_aspect_of

_FUNCTIONS: Final = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
_PERCENTILES: Final = (0.5, 99.8)
_LEAST_CONTRAST: Final = 0.02
"""A window that leaves less than this between darkest and lightest pixel is not to be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisplayPicture:
    """An image as it looks: grey, air dark, with the way from source pixels to its own.

    Attributes
    ----------
    pixels : (rows, columns) uint8
    column_scale, row_scale : pixels of the picture for one of the source, at most 1
    """

    pixels: NDArray[np.uint8]
    column_scale: float
    row_scale: float


@dataclass(frozen=True, slots=True, eq=False)
class ShownImage:
    """An image as it looks at its full size.

    Attributes
    ----------
    values : (rows, columns) float32 in [0, 1]
        Grey, air dark.
    pixel_aspect : height of a pixel for a width of 1
    """

    values: NDArray[np.float32]
    pixel_aspect: float = 1.0

    @property
    def size(self) -> tuple[float, float]:
        """Return the rows and columns of the image in square pixels, of which none is invented."""
        rows, columns = self.values.shape
        return rows * min(1.0, self.pixel_aspect), columns * min(1.0, 1.0 / self.pixel_aspect)

    def reduced(self, long_side: int) -> DisplayPicture:
        """Return the picture of 8 bits in square pixels, at most `long_side` of them a side."""
        rows, columns = self.values.shape
        scale = min(1.0, long_side / max(self.size))
        new_rows, new_columns = (max(1, round(side * scale)) for side in self.size)
        values = self.values
        if (new_rows, new_columns) != (rows, columns):
            values = np.asarray(
                cv2.resize(values, (new_columns, new_rows), interpolation=cv2.INTER_AREA)
            )
        return DisplayPicture(
            pixels=np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8),
            column_scale=new_columns / columns,
            row_scale=new_rows / rows,
        )


def show(source: Dataset, stored: NDArray[Any]) -> ShownImage:
    """Show stored values as a viewer does, through Modality LUT, VOI LUT and polarity.

    A window that cannot be applied, or leaves no contrast, is replaced by one that fits the
    values: the picture is there to be recognised, not to be read.

    Parameters
    ----------
    stored : (rows, columns) integers
        Decoded stored values of one frame.

    Raises
    ------
    ObjectRefusedError
        The values are not those of one monochrome frame of this source.

    References
    ----------
    PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (MONOCHROME1).
    """
    size = (int(source.Rows), int(source.Columns))
    if stored.shape != size:
        raise ObjectRefusedError(
            f"instance {source.SOPInstanceUID} has Rows and Columns {size}, "
            f"its pixels are {stored.shape}"
        )
    padding = _padding_of(source, stored)
    values = _modality_values(source, stored)
    shown = _through_lut(source, values)
    if shown is None:
        shown = _through_window(source, values)
    if shown is None or np.ptp(shown) < _LEAST_CONTRAST:
        shown = _fitted(values, padding, lightest_first=is_inverted(source))
    if is_inverted(source):
        shown = 1.0 - shown
    shown[padding] = 0.0
    return ShownImage(shown, float(pixel_aspect_of(source)))


def window_of(source: Dataset) -> tuple[float, float, str] | None:
    """Return centre, width and function of an image's first window, or None if it has none."""
    center = number_of(source, "WindowCenter", math.nan)
    width = number_of(source, "WindowWidth", math.nan)
    function = str(source.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in _FUNCTIONS:
        function = "LINEAR"
    least_width = 1.0 if function == "LINEAR" else 0.0
    if not (math.isfinite(center) and math.isfinite(width) and width > least_width):
        return None
    return center, width, function


def is_inverted(source: Dataset) -> bool:
    """Tell whether the lowest values are shown lightest."""
    photometric = source.get("PhotometricInterpretation")
    return bool(photometric == "MONOCHROME1" or source.get("PresentationLUTShape") == "INVERSE")


def table_of(item: Dataset) -> tuple[NDArray[np.uint16], int, int]:
    """Read a look-up table: its entries, the value that the first one stands for, its bits.

    Vendors give tables of 10 to 16 bits, which highdicom 0.28 refuses to read.
    """
    _, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = item.LUTData
    if isinstance(entries, bytes):
        return np.frombuffer(entries[: len(entries) // 2 * 2], dtype="<u2"), first, bits
    return np.atleast_1d(np.asarray(entries, dtype=np.uint16)), first, bits


def first_table(source: Dataset, keyword: str) -> tuple[NDArray[np.uint16], int, int] | None:
    """Read the first table of a sequence as `table_of` does; None where there is no whole one."""
    items = source.get(keyword)
    if not items:
        return None
    try:
        found = table_of(items[0])
    except (AttributeError, OverflowError, TypeError, ValueError):
        return None
    return found if found[0].size else None


def _modality_values(source: Dataset, stored: NDArray[Any]) -> NDArray[Any]:
    found = first_table(source, "ModalityLUTSequence")
    if found is not None:
        table, first, _ = found
        return np.asarray(apply_lut(stored.astype(np.int32), table, first))
    slope = number_of(source, "RescaleSlope", 1.0)
    intercept = number_of(source, "RescaleIntercept", 0.0)
    if (slope, intercept) == (1.0, 0.0) or slope == 0.0:
        return stored
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _through_lut(source: Dataset, values: NDArray[Any]) -> NDArray[np.float32] | None:
    found = first_table(source, "VOILUTSequence")
    if found is None:
        return None
    table, first, bits = found
    shown = apply_lut(np.rint(values).astype(np.int32), table, first)
    highest = max((1 << bits) - 1, int(table.max()), 1)
    return np.asarray(shown / highest, dtype=np.float32)


def _through_window(source: Dataset, values: NDArray[Any]) -> NDArray[np.float32] | None:
    window = window_of(source)
    if window is None:
        return None
    center, width, function = window
    with np.errstate(over="ignore"):  # far below a sigmoid's centre its exponential is infinite
        shown = apply_voi_window(values, center, width, function, dtype=np.float32)
    return np.asarray(shown, dtype=np.float32)


def _fitted(
    values: NDArray[Any], padding: NDArray[np.bool_], *, lightest_first: bool
) -> NDArray[np.float32]:
    """Spread the values of the breast over the grey scale, air and padding left out."""
    inside = values[~padding]
    air = inside.max(initial=0) if lightest_first else inside.min(initial=0)
    breast = inside[inside != air]
    if not breast.size:
        return np.full(values.shape, 1.0 if lightest_first else 0.0, dtype=np.float32)
    low, high = (float(level) for level in np.percentile(breast, _PERCENTILES))
    if high <= low:
        low, high = low - 1.0, high + 1.0
    shown = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.clip(shown, 0.0, 1.0), dtype=np.float32)


def _padding_of(source: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Find what surrounds the image and is no measurement (PS3.3 C.7.5.1.1.2)."""
    value = source.get("PixelPaddingValue")
    if not isinstance(value, int):
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = source.get("PixelPaddingRangeLimit")
    low, high = sorted((value, limit if isinstance(limit, int) else value))
    return (stored >= low) & (stored <= high)
