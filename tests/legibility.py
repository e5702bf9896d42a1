"""How high the letters of a colour are in a picture, or in what a viewer shows of it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom_node.objects.drawing.palette import RGB

LEAST_CAPITAL: Final = 10
"""Pixels of the screen below which capitals count as illegible."""

_SHARE: Final = 0.5
"""How far from the background towards its colour a pixel must be to belong to a letter."""

_FEWEST: Final = 4
"""Pixels in a row that make it a row of letters."""


def letters_of(
    pixels: NDArray[np.uint8], color: RGB, background: RGB = (10, 12, 15)
) -> NDArray[np.bool_]:
    """Tell the pixels of letters: between background and colour, and more than half way there."""
    way = np.array(color, dtype=np.float32) - np.array(background, dtype=np.float32)
    drawn = (pixels != np.array(background, dtype=np.uint8)).any(axis=-1)
    from_background = pixels[drawn].astype(np.float32) - np.array(background, dtype=np.float32)
    share = from_background @ way / (way @ way)
    beside = np.abs(from_background - share[..., np.newaxis] * way).max(axis=-1)
    letters = np.zeros(drawn.shape, dtype=np.bool_)
    letters[drawn] = (share > _SHARE) & (beside < 20)
    return letters


def line_heights(letters: NDArray[np.bool_]) -> list[int]:
    """Return the height of each line of letters, from the first to the last."""
    rows = np.concatenate([[False], letters.sum(axis=1) >= _FEWEST, [False]])
    edges = np.flatnonzero(rows[1:] != rows[:-1]).reshape(-1, 2)
    return [int(end - start) for start, end in edges]
