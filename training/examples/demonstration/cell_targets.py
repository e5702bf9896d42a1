"""What each cell of a feature map should say of an image's lesions, for dense supervision."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.examples.demonstration.phantom_images import TrueLesion
from training.pretraining.label_loss import FINDINGS

ABSENT: Final = 0
PRESENT: Final = 1
UNDECIDED: Final = -1
"""At the rim of a lesion, where neither answer would be wrong."""

RIM: Final = 24.0
"""Width of that rim in input pixels: three quarters of a cell."""


def cell_truth(
    lesions: Sequence[TrueLesion], size: tuple[int, int], stride: int, first_centre: float
) -> NDArray[np.int8]:
    """Tell of each cell whether its centre lies on a lesion.

    A lesion is taken as the ellipse in its box. The cell next to its centre belongs to it however
    small it is.

    Parameters
    ----------
    size : (H, W), cells
    stride, first_centre : input pixels
        As `ImageEncoder` gives them.

    Returns
    -------
    (findings, H, W) int8
        `ABSENT`, `PRESENT` or `UNDECIDED`, in the order of `label_loss.FINDINGS`.
    """
    truth = np.full((len(FINDINGS), *size), ABSENT, np.int8)
    rows, columns = (first_centre + stride * np.arange(count) + 0.5 for count in size)
    places = {attribute.value: place for place, (attribute, _) in enumerate(FINDINGS)}
    for lesion in lesions:
        if lesion.attribute not in places:
            continue
        left, top, right, bottom = lesion.box
        across = np.abs(columns - (left + right) / 2)[None, :]
        down = np.abs(rows - (top + bottom) / 2)[:, None]
        half_width, half_height = (right - left) / 2, (bottom - top) / 2
        plane = truth[places[lesion.attribute]]
        around = np.hypot(across / (half_width + RIM), down / (half_height + RIM)) <= 1
        plane[around & (plane == ABSENT)] = UNDECIDED
        plane[np.hypot(across / half_width, down / half_height) <= 1] = PRESENT
        nearest = np.hypot(across, down)
        if nearest.min() <= stride:
            plane[np.unravel_index(int(nearest.argmin()), plane.shape)] = PRESENT
    return truth
