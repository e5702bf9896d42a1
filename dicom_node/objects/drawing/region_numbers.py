"""The number of each region beside its outline, readable where regions lie on each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_node.objects.drawing.lettering import BACKGROUND, LEAST_TEXT, font
from dicom_node.objects.drawing.overlay import Placement
from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.findings.lesions import numbered_regions
from mammoclip_core.findings import ImageFindings

_Box = tuple[int, int, int, int]

_Faults = tuple[bool, bool, bool, bool]
"""Whether a number would stand on another one, far off its region, on another's outline, or nearer
to another region than to its own."""

_RINGS: Final = 12
"""How many text sizes away from its outline a number may have to move, at most."""

_BESIDE: Final = 2.0
"""Text sizes that a number may be away from its region: from further off it is another's."""

_SIZES: Final = (1.0, 0.7, 0.5, 0.35)
"""Shares of the text size that are tried, where regions are so crowded that numbers would be."""

_CELLS: Final = 8
"""Steps into which the text size is divided to find out where outlines run."""


def write_numbers(
    canvas: NDArray[np.uint8],
    image: ImageFindings,
    area: _Box,
    placement: Placement,
    *,
    colors: Mapping[str, RGB],
    text: int,
) -> None:
    """Write the number of each region beside it, in its colour.

    None lies on another number, and none on the outline of another region as long as there is
    room. Where regions are so crowded that a number would stand far off its own, all are smaller.

    Parameters
    ----------
    canvas : (rows, columns, 3), changed in place
    area : left, top, right, bottom of the image in the canvas
        No number leaves it.
    text : pixels
        Text size.
    """
    regions = list(numbered_regions(image))
    outlines = [
        placement.to_picture(np.asarray(finding.regions[index].outline))
        for _, finding, index in regions
    ]
    numbers = [number for number, _, _ in regions]
    tried = []
    for share in _SIZES:
        size = min(text, max(LEAST_TEXT, round(share * text)))
        tried.append((*_boxes_of(numbers, outlines, area, size), size))
        if not tried[-1][0]:
            break
    _, boxes, size = min(tried, key=lambda one: one[0])
    for (number, finding, _), box in zip(regions, boxes, strict=True):
        _write(canvas, str(number), box, colors[finding.name], size)


def _boxes_of(
    numbers: Sequence[int], outlines: Sequence[NDArray[np.float64]], area: _Box, text: int
) -> tuple[int, list[_Box]]:
    """Return how many numbers stand badly in a text size, and where each stands.

    They stand badly far off their region, on another number, or on another region's outline.
    """
    lines = _Lines(outlines, area, text)
    taken: list[_Box] = []
    misplaced = 0
    for own, (number, points) in enumerate(zip(numbers, outlines, strict=True)):
        size = (round(font(text).getlength(str(number))) + text // 2, round(1.1 * text))
        places = [_within(one, size, area) for one in _places(points, size, text)]
        reach = _BESIDE * text
        faults, box = _best_of(
            (_faults_of(one, own, points, taken, lines, reach=reach), one) for one in places
        )
        # Where regions lie on each other, every place may be as near to another one.
        misplaced += any(faults[:-1])
        taken.append(box)
    return misplaced, taken


def _faults_of(
    box: _Box,
    own: int,
    points: NDArray[np.float64],
    taken: list[_Box],
    lines: "_Lines",
    *,
    reach: float,
) -> _Faults:
    meets, is_far = _meets_any(box, taken), not _is_beside(box, points, reach)
    crosses = lines.cross(box, own)
    is_nearer = not (meets or is_far or crosses) and lines.is_nearer_to_another(box, own)
    return meets, is_far, crosses, is_nearer


def _best_of(places: Iterable[tuple[_Faults, _Box]]) -> tuple[_Faults, _Box]:
    """Return the first place without a fault, else that of the least faults."""
    seen = []
    for faults, box in places:
        if not any(faults):
            return faults, box
        seen.append((faults, box))
    return min(seen, key=lambda one: one[0])


def _is_beside(box: _Box, points: NDArray[np.float64], reach: float) -> bool:
    """Tell whether a number is no further from the extent of its region than `reach`."""
    low, high = points.min(axis=0), points.max(axis=0)
    gaps = np.maximum(low - box[2:], np.array(box[:2]) - high)
    return bool(np.hypot(*np.maximum(gaps, 0.0)) <= reach)


class _Lines:
    """Where outlines run, on a grid that is coarse against a number.

    Parameters
    ----------
    outlines : (n, 2) points of the picture each
    area : of the image in the picture
    text : pixels
        Text size.
    """

    def __init__(self, outlines: Sequence[NDArray[np.float64]], area: _Box, text: int) -> None:
        self._step = max(1, text // _CELLS)
        self._corner = area[:2]
        self._extents = np.array([(*one.min(axis=0), *one.max(axis=0)) for one in outlines])
        size = (area[3] - area[1]) // self._step + 1, (area[2] - area[0]) // self._step + 1
        self._first = np.zeros(size, dtype=np.uint16)
        self._last = np.zeros(size, dtype=np.uint16)
        cells = [((one - self._corner) / self._step).astype(np.int32) for one in outlines]
        # A cell that the lines of several regions cross knows the first and the last of them.
        for order, grid in ((-1, self._first), (1, self._last)):
            for place in range(len(cells))[::order]:
                cv2.polylines(grid, [cells[place]], True, place + 1)

    def cross(self, box: _Box, own: int) -> bool:
        """Tell whether the outline of a region other than `own` runs through a box."""
        left, top, right, bottom = (
            (edge - corner) // self._step
            for edge, corner in zip(box, self._corner * 2, strict=True)
        )
        window = (slice(top, bottom + 1), slice(left, right + 1))
        return any(
            bool(((grid[window] != 0) & (grid[window] != own + 1)).any())
            for grid in (self._first, self._last)
        )

    def is_nearer_to_another(self, box: _Box, own: int) -> bool:
        """Tell whether the middle of a box is nearer to another region's extent than to its own."""
        middle = np.array((box[0] + box[2], box[1] + box[3])) / 2
        low, high = self._extents[:, :2], self._extents[:, 2:]
        away = np.hypot(*np.maximum(np.maximum(low - middle, middle - high), 0.0).T)
        return bool(away.min() < away[own])


def _places(
    points: NDArray[np.float64], size: tuple[int, int], text: int
) -> Iterator[tuple[float, float]]:
    """Yield left and top of places around an outline: upper right corner, four sides, others."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    corner = points[np.argmax(points[:, 0] - points[:, 1])]
    columns, rows = size
    yield corner[0] + text / 4, corner[1] - rows
    middle = (top + bottom - rows) / 2
    yield right + text / 4, middle
    yield left - columns - text / 4, middle
    center = (left + right - columns) / 2
    yield center, top - text / 4 - rows
    yield center, bottom + text / 4
    for ring in range(_RINGS):
        away = text / 4 + ring * rows
        yield right + away, top - rows
        yield right + away, bottom
        yield left - columns - away, top - rows
        yield left - columns - away, bottom
        yield right + text / 4, top - away - rows
        yield right + text / 4, bottom + away


def _within(place: tuple[float, float], size: tuple[int, int], area: _Box) -> _Box:
    """Return the box of a number, moved into the image."""
    left = round(max(area[0], min(place[0], area[2] - size[0])))
    top = round(max(area[1], min(place[1], area[3] - size[1])))
    return left, top, min(left + size[0], area[2]), min(top + size[1], area[3])


def _meets_any(box: _Box, others: list[_Box]) -> bool:
    return any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
        for other in others
    )


def _write(canvas: NDArray[np.uint8], number: str, box: _Box, color: RGB, text: int) -> None:
    """Write into a cut of the canvas, so that nothing outside of the box can change."""
    left, top, right, bottom = box
    cut = Image.fromarray(canvas[top:bottom, left:right])
    ImageDraw.Draw(cut).text(
        ((right - left) / 2, (bottom - top) / 2),
        number,
        color,
        font(text),
        anchor="mm",
        stroke_width=max(1, text // 10),
        stroke_fill=BACKGROUND,
    )
    canvas[top:bottom, left:right] = np.asarray(cut)
