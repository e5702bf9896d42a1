"""Every region of a measurement report lies on the pixels of its image and is tracked."""

import highdicom as hd
import numpy as np
import pytest
from measurement_reports_read import concept_name, items, report_of, report_with, values_of
from objects_factory import COLUMNS, ROWS, finding, mammogram, marker_mask, region_of
from study_cases import CASES

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.findings.outlines import MAX_VERTICES, closed_polyline
from mammoclip_core.findings import Region

REGION = ("111030", "DCM")
GROUP = ("125007", "DCM")


def filled(points: np.ndarray) -> np.ndarray:
    """Return which pixels' centres lie in or on a polygon, by a rule that is not OpenCV's."""
    from PIL import Image, ImageDraw

    canvas = Image.new("1", (COLUMNS, ROWS))
    ImageDraw.Draw(canvas).polygon([tuple(p - 0.5) for p in points], fill=1, outline=1)
    return np.asarray(canvas)


def test_region_of_an_asymmetric_marker_lies_on_its_pixels() -> None:
    mask = marker_mask(60, 150)

    report = report_with(finding(mask))

    region = next(item for item in items(report) if concept_name(item) == REGION)
    points = np.asarray(region.GraphicData).reshape(-1, 2)
    assert np.array_equal(filled(points), mask)


def test_region_is_closed_and_selected_from_its_image_by_value() -> None:
    report = report_with(finding(marker_mask(60, 150)))

    region = next(item for item in items(report) if concept_name(item) == REGION)
    assert (region.GraphicType, region.RelationshipType) == ("POLYLINE", "CONTAINS")
    assert region.GraphicData[:2] == region.GraphicData[-2:]
    (image,) = region.ContentSequence
    assert image.RelationshipType == "SELECTED FROM"
    (reference,) = image.ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == mammogram().SOPInstanceUID
    assert "ReferencedFrameNumber" not in reference


def test_highdicom_reads_each_region_with_its_image() -> None:
    report = hd.sr.Comprehensive3DSR.from_dataset(report_of("four views"))

    groups = report.content.get_planar_roi_measurement_groups()

    images = {group.roi.ContentSequence[0].referenced_sop_instance_uid for group in groups}
    expected = {mammogram(v, side).SOPInstanceUID for v in ("CC", "MLO") for side in ("L", "R")}
    assert (len(groups), images) == (4, expected)


def test_every_group_has_its_own_tracking_uid() -> None:
    tracking = values_of(report_of("many findings"), "112040")
    identifiers = values_of(report_of("many findings"), "112039")

    assert len(tracking) == len(set(tracking)) == len(identifiers)


def test_tracking_uids_of_regions_are_those_of_the_segments() -> None:
    results = CASES["many findings"]()
    segmentation = next(r.dataset for r in results if r.kind is ResultKind.SEGMENTATION)

    tracking = values_of(results[-1].dataset, "112040")

    segments = [segment.TrackingUID for segment in segmentation.SegmentSequence]
    assert len(segments) == 3
    assert segments == tracking[:3]


@pytest.mark.parametrize("case", CASES)
def test_every_measurement_group_has_coordinates(case: str) -> None:
    """OHIF 3.13 opens no report with a group that has none."""
    groups = [item for item in items(report_of(case)) if concept_name(item) == GROUP]
    containers = [item for item in items(report_of(case)) if concept_name(item)[0] == "126010"]

    assert all(
        any(concept_name(child) == REGION for child in group.ContentSequence) for group in groups
    )
    assert len(containers) == bool(groups)


def test_outline_that_leaves_its_image_is_refused() -> None:
    outside = finding(marker_mask(COLUMNS, 150, size=(ROWS, 2 * COLUMNS)))

    with pytest.raises(ObjectRefusedError, match="leaves image"):
        report_with(outside)


def test_segmentation_of_an_outline_that_leaves_its_image_is_refused() -> None:
    region = region_of(marker_mask(COLUMNS, 150, size=(ROWS, 2 * COLUMNS)))

    with pytest.raises(ObjectRefusedError, match="leaves image"):
        closed_polyline(region, (ROWS, COLUMNS), "1.2.3")


def test_long_outline_is_shortened_by_less_than_a_pixel() -> None:
    turns = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    radius = 900 + 0.2 * np.sin(400 * turns)
    circle = np.stack([1000 + radius * np.cos(turns), 1000 + radius * np.sin(turns)], axis=1)
    model = region_of(marker_mask(60, 150))
    region = Region(
        outline=tuple(map(tuple, circle.tolist())),
        box=model.box,
        area_pixels=model.area_pixels,
        peak=model.peak,
        activation=model.activation,
    )

    polyline = closed_polyline(region, (2000, 2000), "1.2.3")

    assert len(polyline) <= MAX_VERTICES + 1
    assert np.abs(np.hypot(*(polyline - 1000).T) - 900).max() < 1
