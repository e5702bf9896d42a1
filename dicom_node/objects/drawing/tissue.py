"""Where on a rendered image the breast is, and where air."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.clinical_crop import breast_mask

_LONG_SIDE: Final = 512
"""Pixels of the reduced picture in which the breast is looked for."""

_MARGIN: Final = 9
"""Pixels of it by which the found breast is drawn in: about the margin that it is found with."""

_ABOVE_AIR: Final = 2
"""Grey levels above air from which on a pixel at the edge is skin."""


def tissue_of(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell the breast from air and markers; all of it is breast where there is no air.

    Parameters
    ----------
    pixels : (rows, columns) uint8
        Air dark.

    Returns
    -------
    (rows, columns) bool
    """
    rows, columns = pixels.shape
    scale = min(1.0, _LONG_SIDE / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    breast, others = breast_mask(small.astype(np.uint16) * np.uint16(257))
    if not breast.any():
        return np.ones(pixels.shape, dtype=np.bool_)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_MARGIN, _MARGIN))
    within = cv2.erode(breast.astype(np.uint8), kernel)
    fine = cv2.resize(within, (columns, rows), interpolation=cv2.INTER_NEAREST).view(np.bool_)
    around = small[~breast & ~others]
    return fine & (pixels > (np.median(around) if around.size else 0) + _ABOVE_AIR)
