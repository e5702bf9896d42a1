"""The colours of attention: in which style, how strong, and over which grey."""

from enum import StrEnum
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dicom_node.objects.drawing.palette import RGB

COLOR_MAP: Final = cv2.COLORMAP_INFERNO
"""Perceptually ordered, and in the same order for every kind of colour vision and in grey."""

ONE_COLOR: Final[RGB] = (92, 200, 255)

STRENGTH: Final = 0.25
"""Share of the colour where attention is highest: the tissue keeps the other three quarters."""

ACTIVE: Final = (0.2, 0.75)
"""Below the first value the tissue stays as it is, from the second on the colour is full."""

_MID_GREY: Final = 128.0


class PictureStyle(StrEnum):
    """How attention is shown.

    In a range of colours, in one, by outlines on grey alone, or in a range of colours beside the
    image as it is without any of it.
    """

    COLOR = "color"
    SINGLE_COLOR = "single_color"
    GREY = "grey"
    SIDE_BY_SIDE = "side_by_side"


class HeatColors:
    """The colours of one style.

    Parameters
    ----------
    style : any but grey, which has no colours
    """

    _blended: tuple[NDArray[np.uint8], ...]
    """Red, green and blue of each of 256 levels of heat over each of 256 greys."""

    def __init__(self, style: PictureStyle) -> None:
        if style is PictureStyle.GREY:
            raise ValueError("the grey style has no colours")
        self._blended = _blended(style is PictureStyle.SINGLE_COLOR)

    def over(
        self, grey: NDArray[np.uint8], heat: NDArray[np.uint8 | np.float32]
    ) -> NDArray[np.uint8]:
        """Lay the colours of heat over a grey picture.

        Parameters
        ----------
        grey : (rows, columns)
        heat : (rows, columns) in [0, 1], or as `levels_of` returns it

        Returns
        -------
        (rows, columns, 3) uint8
            RGB.
        """
        places = np.left_shift(levels_of(heat), 8, dtype=np.uint16)
        places |= grey
        merged = cv2.merge([cv2.LUT(places, one) for one in self._blended])
        return np.asarray(merged, dtype=np.uint8)

    def over_mid_grey(self, heat: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the colours as strong as they are over tissue of a middle grey."""
        return self.over(np.full(heat.shape, _MID_GREY, dtype=np.uint8), heat)


def levels_of(heat: NDArray[np.uint8 | np.float32]) -> NDArray[np.uint8]:
    """Return heat in [0, 1] in 256 levels, more than can be told apart; levels as they are."""
    if heat.dtype == np.uint8:
        return np.asarray(heat, dtype=np.uint8)
    levels = np.clip(heat, 0.0, 1.0) * np.float32(255.0)
    return np.asarray(levels + np.float32(0.5), dtype=np.uint8)


@lru_cache(maxsize=2)
def _blended(in_one_color: bool) -> tuple[NDArray[np.uint8], ...]:
    levels = np.linspace(0.0, 1.0, 256, dtype=np.float32)
    tints = _in_one_color(levels) if in_one_color else _in_many(levels)
    greys = np.arange(256, dtype=np.float32) * (1.0 - _SHARES[:, np.newaxis])
    blended = greys[:, :, np.newaxis] + (tints * _SHARES[:, np.newaxis])[:, np.newaxis]
    places = np.rint(blended).astype(np.uint8).reshape(-1, 3)
    return tuple(np.ascontiguousarray(one)[np.newaxis] for one in places.T)


def _shares() -> NDArray[np.float32]:
    """Return how strong the colour of each of 256 levels is: smooth at both ends."""
    lowest, full = ACTIVE
    ramp = np.clip((np.linspace(0.0, 1.0, 256) - lowest) / (full - lowest), 0.0, 1.0)
    return np.asarray(STRENGTH * ramp * ramp * (3.0 - 2.0 * ramp), dtype=np.float32)


_SHARES: Final = _shares()


def _in_one_color(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(levels[:, np.newaxis] * np.array(ONE_COLOR), dtype=np.float32)


def _in_many(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    steps = np.rint(levels * 255.0).astype(np.uint8)
    mapped = cv2.cvtColor(cv2.applyColorMap(steps, COLOR_MAP), cv2.COLOR_BGR2RGB)
    return np.asarray(mapped.reshape(-1, 3), dtype=np.float32)
