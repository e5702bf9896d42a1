"""The number of a region stands in the image of that region, and over no other number."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dicom_node.objects.drawing import region_numbers
from dicom_node.objects.drawing.overlay import Placement
from dicom_node.objects.drawing.region_numbers import write_numbers

EDGE = 200
Outline = list[tuple[int, int]]


def numbered(*outlines: Outline, text: int = 20) -> np.ndarray:
    """Return where numbers are written: one image from row 50 to 250 at the left of a canvas."""
    findings = [
        SimpleNamespace(
            name=f"finding {number}", regions=[SimpleNamespace(outline=outline, lesion=number + 1)]
        )
        for number, outline in enumerate(outlines)
    ]
    canvas = np.full((300, 2 * EDGE, 3), 99, np.uint8)
    write_numbers(
        canvas,
        SimpleNamespace(findings=findings),
        (0, 50, EDGE, 250),
        Placement(column_offset=0, row_offset=50, column_scale=1.0, row_scale=1.0),
        colors={one.name: (255, 10 * number % 256, 0) for number, one in enumerate(findings)},
        text=text,
    )
    return canvas


@pytest.mark.parametrize(
    "outline",
    [
        [(180, 0), (200, 0), (200, 20), (180, 20)],
        [(180, 190), (200, 200), (180, 200)],
        [(0, 0), (5, 0), (5, 5)],
        [(150, 90), (199, 90), (199, 110)],
    ],
)
def test_number_stays_in_its_image(outline: Outline) -> None:
    written = (numbered(outline) != 99).any(axis=2)

    assert written[50:250, :EDGE].any()
    assert written.sum() == written[50:250, :EDGE].sum()


@pytest.mark.parametrize("count", [2, 4, 8])
def test_numbers_of_regions_that_lie_on_each_other_stay_apart(count: int) -> None:
    outline = [(80, 80), (120, 80), (120, 120), (80, 120)]

    canvas = numbered(*[outline] * count)

    # Drawn last, a number is whole; each of the others is as whole as where it stands alone.
    for number in range(count):
        color = (255, 10 * number, 0)
        here = int((canvas == color).all(axis=2).sum())
        assert here > 5, f"number {number + 1} is hidden"
    boxes = [
        np.argwhere((canvas == (255, 10 * number, 0)).all(axis=2)).mean(axis=0)
        for number in range(count)
    ]
    apart = [
        np.abs(first - second).max()
        for place, first in enumerate(boxes)
        for second in boxes[place + 1 :]
    ]
    assert min(apart) > 10


def square(left: int, top: int, side: int = 30) -> Outline:
    return [(left, top), (left + side, top), (left + side, top + side), (left, top + side)]


def crossed(canvas: np.ndarray, number: int, outlines: list[Outline]) -> int:
    """Return how many pixels of other outlines lie within the extent of a number."""
    lines = np.zeros(canvas.shape[:2], np.uint8)
    for other, outline in enumerate(outlines):
        if other != number:
            cv2.polylines(lines, [np.add(outline, (0, 50))], True, 1)
    written = np.argwhere((canvas == (255, 10 * number, 0)).all(axis=2))
    (top, left), (bottom, right) = written.min(axis=0), written.max(axis=0)
    return int(lines[top : bottom + 1, left : right + 1].sum())


@pytest.mark.parametrize(
    "outlines",
    [
        pytest.param([square(60, 80), square(103, 40, 80)], id="edge beside it"),
        pytest.param([square(20, 60, 100), square(60, 80)], id="enclosing"),
        pytest.param([square(20 + 36 * n, 120 - 15 * n) for n in range(4)], id="stairs"),
        pytest.param([square(60, 20 + 36 * n) for n in range(4)], id="column"),
        pytest.param([square(60, 80, 80), square(80, 100, 40), square(95, 70, 20)], id="nested"),
    ],
)
def test_number_lies_on_the_outline_of_no_other_region(outlines: list[Outline]) -> None:
    canvas = numbered(*outlines)

    assert [crossed(canvas, number, outlines) for number in range(len(outlines))] == [0] * len(
        outlines
    )


def test_number_without_room_is_written_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    outlines = [square(4 * n, 4 * n, 30) for n in range(12)]

    assert len(places_of(outlines, monkeypatch)) == 12


def test_numbers_of_boxes_that_lie_across_each_other_have_the_order_of_the_boxes() -> None:
    canvas = numbered(*(square(60, 40 + 20 * n, 40) for n in range(4)))

    rows = [np.argwhere((canvas == (255, 10 * n, 0)).all(axis=2)).mean(axis=0)[0] for n in range(4)]

    assert rows == sorted(rows)


def test_numbers_of_a_crowd_stand_beside_their_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    outlines = [square(8 + 32 * (n % 6), 12 + 32 * (n // 6), 12) for n in range(36)]

    places = places_of(outlines, monkeypatch)

    for number, outline in enumerate(outlines, start=1):
        ring = np.array(outline, dtype=np.float32)
        away = -cv2.pointPolygonTest(ring, places[str(number)], True)
        assert away < 40, f"number {number} stands {away:.0f} pixels off its region"


@pytest.mark.parametrize("gap", [10, 18, 30])
def test_number_is_nearer_to_its_own_region_than_to_another(
    gap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlines = [square(10 + (18 + gap) * n, 80, 18) for n in range(4)]

    places = places_of(outlines, monkeypatch, text=20)

    for number in range(4):
        away = [
            -cv2.pointPolygonTest(np.array(one, dtype=np.float32), places[str(number + 1)], True)
            for one in outlines
        ]
        assert away.index(min(away)) == number


def places_of(
    outlines: list[Outline], monkeypatch: pytest.MonkeyPatch, text: int = 40
) -> dict[str, tuple[float, float]]:
    """Return the middle of each number that is written, in pixels of the image."""
    written = {}

    def recorded(_: object, number: str, box: tuple[int, int, int, int], *__: object) -> None:
        written[number] = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 50)

    monkeypatch.setattr(region_numbers, "_write", recorded)
    numbered(*outlines, text=text)
    return written
