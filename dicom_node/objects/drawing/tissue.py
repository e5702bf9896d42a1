"""Where on a rendered image the breast is, and where air."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dicom_node.objects.drawing.reduction import reduced
from mammoclip_core.images.clinical_crop import breast_mask

_LONG_SIDE: Final = 512
"""Pixels of the reduced picture in which the breast is looked for."""

_MARGIN: Final = 9
"""Pixels of it by which the found breast is drawn in: about the margin that it is found with."""

_ABOVE_AIR: Final = 2
"""Grey levels above air from which on a pixel at the edge is skin."""


class Tissue:
    """The breast on one image, looked for once: in the first of its pictures that asks for it."""

    def __init__(self) -> None:
        self._found: _Found | None = None

    def on(self, pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell the breast from air and markers; all of it is breast where there is no air.

        Parameters
        ----------
        pixels : (rows, columns) uint8
            The image in any size, air dark.

        Returns
        -------
        (rows, columns) bool
        """
        if self._found is None:
            self._found = _found_on(pixels)
        if self._found.breast is None:
            return np.ones(pixels.shape, dtype=np.bool_)
        rows, columns = pixels.shape
        breast = cv2.resize(
            self._found.breast, (columns, rows), interpolation=cv2.INTER_NEAREST
        ).view(np.bool_)
        breast &= pixels > self._found.air + _ABOVE_AIR
        return breast


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """Where the breast is, as 0 and 1 on a small grid over the image, and how grey its air is."""

    breast: NDArray[np.uint8] | None
    air: float = 0.0


def _found_on(pixels: NDArray[np.uint8]) -> _Found:
    rows, columns = pixels.shape
    scale = min(1.0, _LONG_SIDE / max(rows, columns))
    small = reduced(pixels, (max(1, round(rows * scale)), max(1, round(columns * scale))))
    breast, others = breast_mask(small.astype(np.uint16) * np.uint16(257))
    if not breast.any():
        return _Found(breast=None)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_MARGIN, _MARGIN))
    within = np.asarray(cv2.erode(breast.astype(np.uint8), kernel), dtype=np.uint8)
    around = small[~breast & ~others]
    return _Found(breast=within, air=float(np.median(around)) if around.size else 0.0)
