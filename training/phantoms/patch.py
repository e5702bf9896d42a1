"""A lesion's picture on the full grid, and how it is laid onto a view."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """What a lesion adds to the picture and where it is, in pixels of the full grid.

    Attributes
    ----------
    left, top : pixels
        Even, and so are the patch's sides, so that it can be halved; may lie outside the picture.
    signal : (rows, columns) float32
        1 where the lesion is densest; stored values for calcifications.
    mask : (rows, columns) bool
        The lesion's body, without spicules.
    """

    left: int
    top: int
    signal: NDArray[np.float32]
    mask: NDArray[np.bool_]


def empty_window(
    column: float, row: float, reach: float
) -> tuple[int, int, NDArray[np.float32], NDArray[np.float32]]:
    """Return left, top and the offsets of a window's pixel centres from a point.

    Parameters
    ----------
    column, row : pixels of the full grid
        The point at the middle.
    reach : pixels
        Half the window's side, rounded up.

    Returns
    -------
    left, top : pixels
    across : (1, columns)
    down : (rows, 1)
    """
    half = int(np.ceil(reach / 2)) * 2 + 2
    left, top = int(column) // 2 * 2 - half, int(row) // 2 * 2 - half
    steps = np.arange(2 * half, dtype=np.float32) + np.float32(0.5)
    return left, top, (left + steps - column)[None, :], (top + steps - row)[:, None]


def lay_on(canvas: NDArray[np.float32], patch: Patch, strength: float, reduction: int) -> None:
    """Add a patch to a canvas that is `reduction` times, 1 or 2, smaller than the full grid."""
    signal = patch.signal
    if reduction > 1:
        size = (signal.shape[1] // reduction, signal.shape[0] // reduction)
        signal = cv2.resize(signal, size, interpolation=cv2.INTER_AREA).astype(
            np.float32, copy=False
        )
    place = overlap(canvas.shape, signal.shape, patch.left // reduction, patch.top // reduction)
    if place is not None:
        (on_canvas, of_patch) = place
        canvas[on_canvas] += np.float32(strength) * signal[of_patch]


def full_mask(patch: Patch, rows: int, columns: int) -> NDArray[np.bool_]:
    """Return the lesion's body on the full grid."""
    mask = np.zeros((rows, columns), np.bool_)
    place = overlap(mask.shape, patch.mask.shape, patch.left, patch.top)
    if place is not None:
        (on_mask, of_patch) = place
        mask[on_mask] = patch.mask[of_patch]
    return mask


_Slices = tuple[slice, slice]


def overlap(
    whole: tuple[int, ...], part: tuple[int, ...], left: int, top: int
) -> tuple[_Slices, _Slices] | None:
    """Return where a part lies on a whole, and which of its pixels; None if it lies outside."""
    first_row, first_column = max(top, 0), max(left, 0)
    last_row, last_column = min(top + part[0], whole[0]), min(left + part[1], whole[1])
    if first_row >= last_row or first_column >= last_column:
        return None
    on_whole = (slice(first_row, last_row), slice(first_column, last_column))
    of_part = (
        slice(first_row - top, last_row - top),
        slice(first_column - left, last_column - left),
    )
    return on_whole, of_part
