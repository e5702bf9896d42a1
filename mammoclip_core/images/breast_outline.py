"""Where the breast lies on an image, on a grid that is small enough to be looked at quickly."""

from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.clinical_crop import MARGIN, breast_mask
from mammoclip_core.images.grayscale import LEVELS, to_display
from mammoclip_core.images.stored_image import StoredImage

_LONG_SIDE: Final = 512
"""Pixels of the reduced picture in which the breast is looked for."""

_ABOVE_AIR: Final = LEVELS // 128
"""Levels above air from which on a pixel at the edge is skin."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BreastOutline:
    """The breast on a reduced grid.

    Attributes
    ----------
    breast : (rows, columns) bool, at most 512 of either; empty if no breast was found
    scale : source pixels a pixel of it: from row to row, from column to column
    """

    breast: NDArray[np.bool_]
    scale: tuple[float, float]


def breast_outline(image: StoredImage) -> BreastOutline:
    """Find the breast among air, markers and labels."""
    step = max(1, max(image.rows, image.columns) // (2 * _LONG_SIDE))
    thinned = replace(image, values=np.ascontiguousarray(image.values[::step, ::step]))
    picture = to_display(thinned)
    share = min(1.0, _LONG_SIDE / max(picture.shape))
    rows, columns = (max(1, round(share * length)) for length in picture.shape)
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    with_margin, others = breast_mask(small.astype(np.uint16, copy=False))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (MARGIN, MARGIN))
    breast: NDArray[Any] = cv2.erode(with_margin.astype(np.uint8), kernel)
    # Near the image's edge the margin stays: what is as dark as the air there is none.
    air = small[~with_margin & ~others]
    above_air = small > (np.median(air) if air.size else 0) + _ABOVE_AIR
    return BreastOutline(
        breast=(breast > 0) & above_air, scale=(image.rows / rows, image.columns / columns)
    )
