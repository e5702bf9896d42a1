"""The breast, displayed as the header says and found among markers, labels and frames."""

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import PixelError
from mammoclip_core.images.grayscale import LEVELS, to_display
from mammoclip_core.images.stored_image import StoredImage

_LONG_SIDE: Final = 512
"""Pixels of the reduced picture in which the breast is looked for."""

_SHARE_OF_THRESHOLD: Final = 0.3
"""How far above air the skin begins, on the way to the level that divides air and breast."""

_UNEVEN_AIR: Final = 20.0
"""Standard deviation, of 255 levels, above which the darker part is tissue, not air."""

_FURTHER_DIVISIONS: Final = 2
"""How often the darker part is divided again where it holds tissue beside an implant."""

_LEAST_SHARE: Final = 0.02
"""Share of the image below which nothing is a breast."""

_WIDEST_FRAME: Final = 0.1
"""Share of a side up to which what runs along the whole edge is a frame, not the breast."""

_FRAME_COVERS: Final = 0.9
_INSIDE_COVERS: Final = 0.6
"""Shares of a line above air: along a frame, and just inside of one where there is no breast."""

_EVEN: Final = 25
"""Levels of 255 between darkest and brightest tenth of a line, up to which it has one shade."""

_BLURRED: Final = 4
_SLANTED: Final = 8
"""Lines within which a frame that lies aslant ends."""

_STEP: Final = 25
"""Levels of 255 by which what lies inside of a frame is darker."""

_OPENING: Final = 5
MARGIN: Final = 7
"""Diameter in pixels by which the breast is found wider than it is."""


def clinical_crop(image: StoredImage) -> tuple[NDArray[np.uint16], tuple[int, int, int, int]]:
    """Show an image as its header asks and cut the breast out of it.

    Returns
    -------
    crop : (bottom - top, right - left) uint16
        Air dark; what is bright and does not belong to the breast (markers, labels) is 0.
    box : left, top, right, bottom in source pixels, half-open

    Raises
    ------
    PixelError
        All measured pixels have the same value.
    """
    picture = to_display(image)
    if picture.min() == picture.max():
        raise PixelError(f"{image.sop_instance_uid}: all pixels have the same value")
    rows, columns = picture.shape
    scale = min(1.0, _LONG_SIDE / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint16, copy=False)
    breast, others = breast_mask(small)
    if not breast.any():
        return picture, (0, 0, columns, rows)
    across, down = columns / size[0], rows / size[1]
    places_down, places_across = np.flatnonzero(breast.any(1)), np.flatnonzero(breast.any(0))
    left = math.floor(places_across[0] * across)
    right = min(columns, math.ceil((places_across[-1] + 1) * across))
    top = math.floor(places_down[0] * down)
    bottom = min(rows, math.ceil((places_down[-1] + 1) * down))
    if others.any():
        mask = cv2.resize(others.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST)
        picture[mask > 0] = 0
    return np.ascontiguousarray(picture[top:bottom, left:right]), (left, top, right, bottom)


def breast_mask(picture: NDArray[np.uint16]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell the breast, the largest connected part above air, from everything else that is bright.

    An implant is brighter than the breast around it and must not draw the level up: the level is
    looked for in the square root of the picture and lowered towards air.

    Returns
    -------
    breast : (rows, columns) bool
        With a margin; empty if there is no air around it.
    others : (rows, columns) bool
        Markers and labels, with a margin.

    References
    ----------
    Otsu, A threshold selection method from gray-level histograms (1979).
    """
    root = np.sqrt(picture.astype(np.float32) / np.float32(LEVELS - 1))
    levels = cv2.GaussianBlur((root * 255).astype(np.uint8), (0, 0), 1.5)
    level, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = levels[levels <= level]
    for _ in range(_FURTHER_DIVISIONS):
        if dark.size and dark.std() > _UNEVEN_AIR:
            level, _ = cv2.threshold(dark, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
            dark = dark[dark <= level]
    none = np.zeros(picture.shape, np.bool_)
    if not dark.size or dark.std() > _UNEVEN_AIR:
        return none, none
    air = float(np.median(dark))
    above = (levels > air + _SHARE_OF_THRESHOLD * (level - air)).astype(np.uint8)
    frame = _frame(levels, above)
    inside = np.where(frame, 0, above).astype(np.uint8)
    opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, _ellipse(_OPENING))
    _, labels, facts, _ = cv2.connectedComponentsWithStats(opened)
    areas: NDArray[Any] = facts[1:, cv2.CC_STAT_AREA]
    if not areas.size or areas.max() < _LEAST_SHARE * above.size:
        return none, none
    largest = (labels == 1 + int(areas.argmax())).astype(np.uint8)
    breast = (cv2.dilate(largest, _ellipse(MARGIN)) > 0) & ~frame
    others = cv2.dilate(((above > 0) & ~breast).astype(np.uint8), _ellipse(_OPENING)) > 0
    return breast, others & ~breast


def _frame(levels: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell the bright frame of a digitised film, which joins the breast to the image's edges.

    Lines count as frame from the edge inwards, as long as they are bright from end to end, and
    only if that ends soon: by one shade turning into many, or by air. A breast that fills the
    edge at the chest wall does neither.
    """
    frame = np.zeros(levels.shape, np.bool_)
    for turns in range(4):
        # One edge after the other becomes the first row; writing goes through the rotated view.
        shown, bright = np.rot90(levels, turns), np.rot90(above, turns)
        width = _frame_width(shown, bright)
        np.rot90(frame, turns)[:width] = True
    return frame


def _frame_width(levels: NDArray[np.uint8], above: NDArray[np.uint8]) -> int:
    """Return how many of the first rows are a frame."""
    limit = math.ceil(_WIDEST_FRAME * len(levels))
    covered = above[: limit + 1].mean(axis=1)
    low, high = np.percentile(levels[: limit + 1], (10, 90), axis=1)
    is_even = (high - low <= _EVEN) & (covered >= _FRAME_COVERS)
    if covered[0] < _FRAME_COVERS:
        return 0
    first_open = int(np.argmax(covered <= _INSIDE_COVERS))
    if first_open:
        last_covered = int(np.flatnonzero(covered[:first_open] >= _FRAME_COVERS)[-1])
        # A breast narrows slowly, a frame ends.
        if first_open - last_covered <= _SLANTED:
            return first_open
    if not is_even[0] or is_even[limit]:
        return 0
    width = int(np.argmin(is_even))
    middle = np.median(levels[: width + _BLURRED], axis=1)
    if middle[0] - middle.min() < _STEP:
        return 0
    # The frame's last lines are blurred into what lies inside.
    ends = np.flatnonzero(covered[width : width + _BLURRED] < _FRAME_COVERS)
    return width + int(ends[0]) if ends.size else width


def _ellipse(size: int) -> NDArray[np.uint8]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return kernel.astype(np.uint8, copy=False)
