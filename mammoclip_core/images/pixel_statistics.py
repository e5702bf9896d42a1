"""Three numbers that say how the images of a scanner look, whatever the model makes of them.

They are taken of the stored values while these are in memory for the model anyway, at points of a
grid: a millisecond or two an image. An average of three numbers over some images of a study tells
nobody apart; it tells when a detector, an exposure or the maker's processing has changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.breast_outline import BreastOutline
from mammoclip_core.images.stored_image import StoredImage

NAMES: Final = ("breast_share", "mean_grey", "noise")
"""In the order in which they are told."""

_POINTS: Final = 384
"""Points of the grid along the longer side."""

_LEAST_POINTS: Final = 200
"""Points within the breast below which nothing is said."""

_TO_DEVIATION: Final = 1.4826 / 6**0.5
"""From the median size of ``a - 2 b + c`` to the standard deviation of a, b and c, were these
independent and normal: the median of their sizes is 1 / 1.4826 of it, and 1 + 4 + 1 = 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelStatistics:
    """How one image looks, or the images of a study on average.

    Attributes
    ----------
    breast_share : [0, 1]
        Share of the image that the breast covers.
    mean_grey : [0, 1]
        Mean stored value in the breast, of the values that its bits can hold, air dark.
    noise : [0, 1]
        Standard deviation from pixel to pixel in the breast, on the same scale: of the noise, and
        of structure as fine as that.
    """

    breast_share: float
    mean_grey: float
    noise: float


def pixel_statistics(image: StoredImage, outline: BreastOutline) -> PixelStatistics | None:
    """Look at one image.

    Parameters
    ----------
    outline : of its breast

    Returns
    -------
    PixelStatistics or None
        None if too little of a breast was found.
    """
    step = max(1, max(image.rows, image.columns) // _POINTS)
    rows = np.arange(0, image.rows, step)
    columns = np.arange(1, image.columns - 1, step)
    breast = outline.breast[
        np.minimum(rows / outline.scale[0], len(outline.breast) - 1).astype(np.intp)
    ][:, np.minimum(columns / outline.scale[1], outline.breast.shape[1] - 1).astype(np.intp)]
    if np.count_nonzero(breast) < _LEAST_POINTS:
        return None
    lines = image.values[::step]
    left, middle, right = (
        _at(lines[:, first : first + image.columns - 2 : step], breast) for first in range(3)
    )
    lowest, width = _scale_of(image)
    grey = (float(middle.mean()) - lowest) / width
    if image.display.is_inverted or image.photometric_interpretation == "MONOCHROME1":
        grey = 1.0 - grey
    steps = np.abs(left - 2.0 * middle + right)
    return PixelStatistics(
        breast_share=float(outline.breast.mean()),
        mean_grey=min(max(grey, 0.0), 1.0),
        noise=min(_TO_DEVIATION * float(np.median(steps)) / width, 1.0),
    )


def mean_of(images: Iterable[PixelStatistics | None]) -> dict[str, float]:
    """Return the mean of each number over the images that have it; empty if none has."""
    known = [one for one in images if one is not None]
    if not known:
        return {}
    return {name: round(sum(getattr(one, name) for one in known) / len(known), 6) for name in NAMES}


def _at(values: NDArray[Any], breast: NDArray[np.bool_]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values[breast].astype(np.float64)
    return found


def _scale_of(image: StoredImage) -> tuple[float, float]:
    """Return the lowest value that the bits of a pixel can hold, and how many there are."""
    levels = float(1 << image.bits_stored)
    return (-levels / 2 if image.values.dtype.kind == "i" else 0.0), levels
