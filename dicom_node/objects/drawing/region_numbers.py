"""The number of each region beside its outline, readable where regions lie on each other."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_node.objects.drawing.lettering import BACKGROUND, font
from dicom_node.objects.drawing.overlay import Placement
from dicom_node.objects.drawing.palette import RGB
from dicom_node.objects.findings.lesions import numbered_regions
from mammoclip_core.findings import ImageFindings

_Box = tuple[int, int, int, int]

_RINGS: Final = 12
"""How many text sizes away from its outline a number may have to move, at most."""


def write_numbers(
    canvas: NDArray[np.uint8],
    image: ImageFindings,
    area: _Box,
    placement: Placement,
    *,
    colors: Mapping[str, RGB],
    text: int,
) -> None:
    """Write the number of each region beside it, in its colour, and none over another one.

    Parameters
    ----------
    canvas : (rows, columns, 3), changed in place
    area : left, top, right, bottom of the image in the canvas
        No number leaves it.
    text : pixels
        Text size.
    """
    taken: list[_Box] = []
    for number, finding, index in numbered_regions(image):
        points = placement.to_picture(np.asarray(finding.regions[index].outline))
        size = (round(font(text).getlength(str(number))) + text // 2, round(1.1 * text))
        box = _free_box((_within(one, size, area) for one in _places(points, size, text)), taken)
        taken.append(box)
        _write(canvas, str(number), box, colors[finding.name], text)


def _free_box(boxes: Iterator[_Box], taken: list[_Box]) -> _Box:
    """Return the first box that meets no other one, or the first of all."""
    first = next(boxes)
    if not _meets_any(first, taken):
        return first
    return next((box for box in boxes if not _meets_any(box, taken)), first)


def _places(
    points: NDArray[np.float64], size: tuple[int, int], text: int
) -> Iterator[tuple[float, float]]:
    """Yield left and top of places around an outline, its upper right corner first."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    corner = points[np.argmax(points[:, 0] - points[:, 1])]
    columns, rows = size
    yield corner[0] + text / 4, corner[1] - rows
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
