"""A rendering device that goes by PS3.4 O.2.2.1 draws each mark on the image it was found on.

The device is written for these tests: it shares no code with the builder.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cad_cases import CAD_CASES
from objects_factory import (
    NEGATIVE,
    cad_report_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    standard_views,
)
from pydicom.dataset import Dataset
from sr_reading import children, points_of, read_back, target_of, value_code

REQUIRED, OPTIONAL = "111150", "111151"


@dataclass(frozen=True)
class Drawn:
    """One mark on the screen."""

    sop_instance_uid: str
    mark: str
    center: tuple[float, float]
    outline: tuple[tuple[float, float], ...]


def drawn(report: Dataset, operating_point: int = 0) -> list[Drawn]:
    """Draw what every level of its branch allows, at an operating point that the reader set."""
    (summary,) = children(report, "111017")
    return [
        _drawn(report, item)
        for impression in children(summary, "111034")
        if _is_shown(impression, operating_point)
        for item in children(impression, "111059")
        if _is_shown(item, operating_point) and children(item, "111010")
    ]


def _is_shown(item: Dataset, operating_point: int) -> bool:
    (intent,) = children(item, "111056")
    if value_code(intent) == REQUIRED:
        return True
    if value_code(intent) != OPTIONAL:
        return False
    points = children(intent, "111071") or list(_points_below(item))
    return any(point.MeasuredValueSequence[0].NumericValue <= operating_point for point in points)


def _points_below(impression: Dataset) -> Iterator[Dataset]:
    """An optional container takes the operating points of the marks in it."""
    for item in children(impression, "111059"):
        for intent in children(item, "111056"):
            yield from children(intent, "111071")


def _drawn(report: Dataset, item: Dataset) -> Drawn:
    (center,), (outline,) = children(item, "111010"), children(item, "111041")
    entries = [target_of(report, shape.ContentSequence[0]) for shape in (center, outline)]
    uids = {entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for entry in entries}
    (uid,) = uids
    return Drawn(uid, value_code(item), points_of(center)[0], tuple(points_of(outline)))


def test_each_mark_is_drawn_on_its_own_view() -> None:
    pairs = []
    expected = {}
    for number, (side, view) in enumerate(standard_views()):
        dataset = mammogram(view, side)
        left = 100 + 10 * number
        expected[str(dataset.SOPInstanceUID)] = (left, 150)
        pairs.append((dataset, image_of(dataset, finding(marker_mask(left, 150)))))

    marks = drawn(read_back(cad_report_of(*pairs)))

    corners = {
        mark.sop_instance_uid: (
            min(column for column, _ in mark.outline),
            min(row for _, row in mark.outline),
        )
        for mark in marks
    }
    assert corners.keys() == expected.keys()
    for uid, (column, row) in corners.items():
        assert (column, row) == pytest.approx(expected[uid], abs=1.0)


def test_mark_below_threshold_is_drawn_from_its_operating_point_on() -> None:
    dataset = mammogram()
    optional = finding(marker_mask(60, 150), score=0.4, above_threshold=False)
    report = read_back(cad_report_of((dataset, image_of(dataset, optional))))

    counts = [len(drawn(report, operating_point)) for operating_point in (0, 59, 60, 100)]

    assert counts == [0, 0, 1, 1]


def test_mark_above_threshold_is_drawn_at_every_operating_point() -> None:
    dataset = mammogram()
    optional = finding(marker_mask(150, 150), name="other", score=0.4, above_threshold=False)
    found = image_of(dataset, finding(marker_mask(60, 150)), optional)
    report = read_back(cad_report_of((dataset, found)))

    assert [len(drawn(report, point)) for point in (0, 100)] == [1, 2]


def test_finding_without_a_place_is_never_drawn() -> None:
    report = read_back(CAD_CASES["finding without a place"]())

    assert drawn(report, operating_point=100) == []


def test_nothing_is_drawn_of_a_study_without_findings() -> None:
    dataset = mammogram()

    assert drawn(read_back(cad_report_of((dataset, image_of(dataset, NEGATIVE)))), 100) == []


def test_coded_density_is_no_mark_on_an_image() -> None:
    report = read_back(CAD_CASES["density coded"]())

    assert [mark.mark for mark in drawn(report)] == ["129793001"]
