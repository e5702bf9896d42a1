"""A detector's box comes back as the same box, under the detector's name."""

from collections.abc import Mapping

import highdicom as hd
import numpy as np
import pytest
from every_kind import objects_of
from pydicom.dataset import Dataset
from sr_reading import children, concept, points_of, read_back, target_of, walk

from dicom_node.facts.result_kinds import ResultKind

LEFT, TOP, RIGHT, BOTTOM = 60, 150, 100, 198
CORNERS = {(LEFT, TOP), (RIGHT, TOP), (RIGHT, BOTTOM), (LEFT, BOTTOM)}


@pytest.fixture
def objects() -> Mapping[ResultKind, Dataset]:
    return {one.kind: read_back(one.dataset) for one in objects_of("detector box")}


def test_measurement_report_has_the_box(objects: Mapping[ResultKind, Dataset]) -> None:
    report = hd.sr.Comprehensive3DSR.from_dataset(objects[ResultKind.MEASUREMENT_REPORT])

    (group,) = report.content.get_planar_roi_measurement_groups()

    outline = np.asarray(group.roi.value)
    assert {tuple(point) for point in outline} == CORNERS
    assert tuple(outline[0]) == tuple(outline[-1])
    assert len(outline) == len(CORNERS) + 1


def test_cad_report_has_the_box_and_its_center(objects: Mapping[ResultKind, Dataset]) -> None:
    report = objects[ResultKind.CAD_REPORT]

    (found,) = [item for _, item in walk(report) if concept(item) == "111059"]

    (center,), (outline,) = children(found, "111010"), children(found, "111041")
    assert set(points_of(outline)) == CORNERS
    assert points_of(center)[0] == pytest.approx(((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), abs=1.0)
    assert target_of(report, outline.ContentSequence[0]).ValueType == "IMAGE"


def test_segmentation_covers_the_box(objects: Mapping[ResultKind, Dataset]) -> None:
    rows, columns = np.nonzero(np.squeeze(objects[ResultKind.SEGMENTATION].pixel_array))

    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert found == pytest.approx((LEFT, TOP, RIGHT, BOTTOM), abs=1.0)
    assert len(rows) == (columns.max() + 1 - columns.min()) * (rows.max() + 1 - rows.min())


def test_reports_name_the_detector(objects: Mapping[ResultKind, Dataset]) -> None:
    for kind in (ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT):
        parameters = [
            item.TextValue for _, item in walk(objects[kind]) if concept(item) == "111002"
        ]
        assert [text for text in parameters if "region by detector box" in text], kind


def test_reports_claim_no_attention_for_a_box(objects: Mapping[ResultKind, Dataset]) -> None:
    attention = {"130401", "130402", "130403"}

    for kind in (ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT, ResultKind.SEGMENTATION):
        codes = {one.value for one in objects[kind].iterall() if one.keyword == "CodeValue"}
        assert not codes & attention, kind


def test_segmentation_and_picture_name_the_detector(
    objects: Mapping[ResultKind, Dataset],
) -> None:
    (segment,) = objects[ResultKind.SEGMENTATION].SegmentSequence

    assert segment.SegmentDescription == "Region by detector box, score 0.71"
    assert segment.SegmentLabel == "1 AI detector box: mass"
    assert "detector box" in objects[ResultKind.SECONDARY_CAPTURE].DerivationDescription
