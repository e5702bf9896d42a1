"""A report says what was found, where, with what certainty, and what was not looked at."""

import io
from collections.abc import Iterator

import highdicom as hd
import numpy as np
import pydicom
import pytest
from objects_factory import (
    BUNDLE,
    COLUMNS,
    NEGATIVE,
    ROWS,
    bytes_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    region_of,
    results_of,
)
from pydicom.dataset import Dataset
from study_cases import CASES

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import COMPREHENSIVE_SR, ResultKind
from dicom_node.objects.outlines import MAX_VERTICES, closed_polyline
from dicom_node.objects.products import OHIF, PACS
from dicom_node.objects.references import PredecessorDocument
from mammoclip_core.findings import BreastFindings, Finding, ImageStatus, Region

OHIF_REPORT = OHIF.product(ResultKind.MEASUREMENT_REPORT)

REGION = ("111030", "DCM")
GROUP = ("125007", "DCM")
PROCESSING_SUMMARY = ("111017", "DCM", "CAD Processing and Findings Summary")
COMPOSITION = ("129715009", "SCT", "Breast composition")
FINDING = ("121071", "DCM", "Finding")
EVALUATIONS = hd.sr.CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")


def read_back(dataset: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(bytes_of(dataset)))


def report_of(case: str) -> Dataset:
    return read_back(CASES[case]()[-1].dataset)


def report_with(*findings: Finding) -> Dataset:
    dataset = mammogram()
    return read_back(results_of((dataset, image_of(dataset, *findings)))[-1].dataset)


def items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from items(child)


def concept(item: Dataset) -> tuple[str, str]:
    name = item.ConceptNameCodeSequence[0]
    return name.CodeValue, name.CodingSchemeDesignator


def values_of(report: Dataset, code: str) -> list[str]:
    found = [item for item in items(report) if concept(item)[0] == code]
    return [
        item.TextValue
        if item.ValueType == "TEXT"
        else item.ConceptCodeSequence[0].CodeValue
        if item.ValueType == "CODE"
        else str(item.get("UID"))
        for item in found
    ]


def evaluations_of(report: Dataset, name: hd.sr.CodedConcept) -> list[hd.sr.CodeContentItem]:
    """Return the evaluations of one concept, as highdicom's reader finds them."""
    content = hd.sr.Comprehensive3DSR.from_dataset(report).content[0]
    (container,) = hd.sr.utils.find_content_items(content, name=EVALUATIONS)
    return hd.sr.utils.find_content_items(container, name=name)


def images_of(item: hd.sr.CodeContentItem) -> set[str]:
    return {
        child.referenced_sop_instance_uid
        for child in item.ContentSequence
        if child.ValueType == "IMAGE"
    }


def text_of(report: Dataset) -> str:
    return "\n".join(item.TextValue for item in items(report) if item.ValueType == "TEXT")


def filled(points: np.ndarray) -> np.ndarray:
    """Return which pixels' centres lie in or on a polygon, by a rule that is not OpenCV's."""
    from PIL import Image, ImageDraw

    canvas = Image.new("1", (COLUMNS, ROWS))
    ImageDraw.Draw(canvas).polygon([tuple(p - 0.5) for p in points], fill=1, outline=1)
    return np.asarray(canvas)


def test_region_of_an_asymmetric_marker_lies_on_its_pixels() -> None:
    mask = marker_mask(60, 150)

    report = report_with(finding(mask))

    region = next(item for item in items(report) if concept(item) == REGION)
    points = np.asarray(region.GraphicData).reshape(-1, 2)
    assert np.array_equal(filled(points), mask)


def test_region_is_closed_and_selected_from_its_image_by_value() -> None:
    report = report_with(finding(marker_mask(60, 150)))

    region = next(item for item in items(report) if concept(item) == REGION)
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


@pytest.mark.parametrize(
    ("name", "calibrated", "expected"),
    [
        ("mass", False, "111012"),
        ("mass", True, "111012"),
        ("malignancy", False, "111012"),
        ("malignancy", True, "111047"),
    ],
)
def test_only_a_calibrated_malignancy_is_a_probability_of_cancer(
    name: str, calibrated: bool, expected: str
) -> None:
    report = report_with(finding(marker_mask(60, 150), name=name, calibrated=calibrated))

    assert [concept(i)[0] for i in items(report) if concept(i)[0] in {"111012", "111047"}] == [
        expected
    ]


def test_malignancy_is_reported_as_a_lesion_that_was_looked_at() -> None:
    report = report_with(finding(marker_mask(60, 150), name="malignancy", code="SCT|1|Cancer"))

    assert values_of(report, "121071") == ["52988006"]


def test_finding_keeps_the_code_of_the_manifest() -> None:
    assert values_of(report_with(finding(marker_mask(60, 150))), "121071") == ["4147007"]


def test_score_of_a_third_fits_a_decimal_string() -> None:
    report = report_with(finding(marker_mask(60, 150), score=1 / 3))

    (number,) = [i for i in items(report) if concept(i)[0] == "111012"]
    assert str(number.MeasuredValueSequence[0].NumericValue) == "33.3"


@pytest.mark.parametrize(
    ("case", "summary", "completion"),
    [
        ("no finding", "111241", "COMPLETE"),
        ("one finding", "111242", "COMPLETE"),
        ("failed image", "111243", "PARTIAL"),
        ("left-out image", "111242", "COMPLETE"),
    ],
)
def test_summary_follows_from_the_images(case: str, summary: str, completion: str) -> None:
    report = report_of(case)

    assert values_of(report, "111017")[0] == summary
    assert report.CompletionFlag == completion
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_report_without_findings_names_every_image_that_was_read() -> None:
    datasets = [mammogram(view) for view in ("CC", "MLO")]

    results = results_of(*((dataset, image_of(dataset, NEGATIVE)) for dataset in datasets))

    report = read_back(results[-1].dataset)
    whole, *each = evaluations_of(report, hd.sr.CodedConcept(*PROCESSING_SUMMARY))
    assert "ContentSequence" not in whole
    assert {uid for item in each for uid in images_of(item)} == {
        dataset.SOPInstanceUID for dataset in datasets
    }
    assert {item.value.value for item in each} == {"111241"}
    assert not any(concept(item)[0] == "111012" for item in items(report))


@pytest.mark.parametrize("case", CASES)
def test_every_measurement_group_has_coordinates(case: str) -> None:
    """OHIF 3.13 opens no report with a group that has none."""
    groups = [item for item in items(report_of(case)) if concept(item) == GROUP]
    containers = [item for item in items(report_of(case)) if concept(item)[0] == "126010"]

    assert all(any(concept(child) == REGION for child in group.ContentSequence) for group in groups)
    assert len(containers) == bool(groups)


def test_finding_of_a_whole_image_keeps_what_it_is_of() -> None:
    report = report_with(finding(name="malignancy", score=0.7, calibrated=True))

    (item,) = evaluations_of(report, hd.sr.CodedConcept(*FINDING))
    told = {concept(child)[0]: child for child in item.ContentSequence}
    assert item.value.value == "52988006"
    assert images_of(item) == {mammogram().SOPInstanceUID}
    assert float(told["111047"].MeasuredValueSequence[0].NumericValue) == 70.0
    assert told["363698007"].ContentSequence[0].ConceptCodeSequence[0].CodeValue == "7771000"
    assert told["112039"].TextValue == "L MLO malignancy"
    assert told["111001"].TextValue == BUNDLE.name


def test_score_of_a_breast_names_the_images_that_it_rests_on() -> None:
    views = [mammogram("CC"), mammogram("MLO"), mammogram("CC", "R")]
    breast = BreastFindings(laterality="L", findings=(finding(), NEGATIVE), density="C")

    results = results_of(*((one, image_of(one, NEGATIVE)) for one in views), breasts=(breast,))

    report = read_back(results[-1].dataset)
    (score,) = evaluations_of(report, hd.sr.CodedConcept(*FINDING))
    _, density = evaluations_of(report, hd.sr.CodedConcept(*COMPOSITION))
    assert images_of(score) == images_of(density) == {one.SOPInstanceUID for one in views[:2]}


def test_failed_image_is_named_with_its_reason() -> None:
    text = text_of(report_of("failed image"))

    assert f"Image failed: L MLO, SOP Instance UID {mammogram('MLO').SOPInstanceUID}" in text
    assert "the pixel data are cut off - 3 of 4" in text


def test_left_out_image_is_named_but_not_listed_unless_it_is_a_mammogram() -> None:
    report = report_of("left-out image")

    images = [i for i in items(report) if i.ValueType == "IMAGE" and concept(i)[0] == "260753009"]
    assert "Image left out: L MLO" in text_of(report)
    assert {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in images} == {
        mammogram("CC").SOPInstanceUID
    }


def test_report_states_research_use_weights_and_scores_below_threshold() -> None:
    text = text_of(report_of("no finding"))

    assert "RESEARCH USE ONLY - NOT FOR DIAGNOSIS. UNTRAINED DEMONSTRATION WEIGHTS" in text
    assert "licence Apache-2.0, permitted use: demonstration use" in text
    assert "L MLO: mass score 0.12 (below threshold)" in text


def test_every_group_says_what_computed_it() -> None:
    report = report_of("one finding")

    assert set(values_of(report, "111002")) >= {"computed by openvino 2026.4.1 float32"}


def test_density_is_stated_for_the_breast_and_for_the_examination() -> None:
    assert values_of(report_of("many findings"), "129715009") == ["129718006", "129718006"]


def test_library_tells_side_view_and_orientation() -> None:
    report = report_of("one finding")

    assert values_of(report, "111027") == ["7771000"]
    assert values_of(report, "111031") == ["399368009"]
    assert (values_of(report, "111044"), values_of(report, "111043")) == (["A"], ["FR"])


def test_view_modifier_of_an_older_coding_is_mapped() -> None:
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator = "R-102D6", "SRT"
    modifier.CodeMeaning = "Magnification"
    dataset = mammogram()
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [modifier]

    report = results_of((dataset, image_of(dataset, NEGATIVE)))[-1].dataset

    assert values_of(report, "111032") == ["399163009"]


def test_evidence_lists_images_and_results() -> None:
    results = CASES["one finding"]()
    report = results[-1].dataset

    evidence = {
        reference.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }

    expected = {result.dataset.SOPInstanceUID for result in results[:-1]}
    assert evidence == expected | {mammogram().SOPInstanceUID}


def test_new_revision_names_its_predecessor() -> None:
    dataset = mammogram()
    former = PredecessorDocument(
        study_instance_uid=dataset.StudyInstanceUID,
        series_instance_uid="1.2.3",
        sop_class_uid=COMPREHENSIVE_SR,
        sop_instance_uid="1.2.3.4",
    )

    report = results_of(
        (dataset, image_of(dataset, NEGATIVE)),
        predecessors={OHIF_REPORT: former},
    )[-1].dataset

    series = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == "1.2.3"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"


def test_report_is_not_its_own_predecessor() -> None:
    dataset = mammogram()
    pair = (dataset, image_of(dataset, NEGATIVE))
    report = results_of(pair)[-1].dataset
    itself = PredecessorDocument(
        study_instance_uid=report.StudyInstanceUID,
        series_instance_uid=report.SeriesInstanceUID,
        sop_class_uid=report.SOPClassUID,
        sop_instance_uid=report.SOPInstanceUID,
    )

    again = results_of(pair, predecessors={OHIF_REPORT: itself})[-1].dataset

    assert "PredecessorDocumentsSequence" not in again


def test_other_report_class_is_another_object() -> None:
    dataset = mammogram()
    pair = (dataset, image_of(dataset, NEGATIVE))

    report = results_of(pair, profiles=(PACS,))[-1]

    assert report.dataset.SOPClassUID == COMPREHENSIVE_SR
    assert report.dataset.SOPInstanceUID != results_of(pair)[-1].dataset.SOPInstanceUID


def test_study_of_which_nothing_was_read_is_refused() -> None:
    dataset = mammogram()
    left_out = image_of(dataset, status=ImageStatus.LEFT_OUT, reason="a specimen")

    with pytest.raises(ObjectRefusedError, match="no image of study"):
        results_of((dataset, left_out))


def test_outline_that_leaves_its_image_is_refused() -> None:
    outside = finding(marker_mask(COLUMNS, 150, size=(ROWS, 2 * COLUMNS)))

    with pytest.raises(ObjectRefusedError, match="leaves image"):
        report_with(outside)


def test_segmentation_of_an_outline_that_leaves_its_image_is_refused() -> None:
    region = region_of(marker_mask(COLUMNS, 150, size=(ROWS, 2 * COLUMNS)))

    with pytest.raises(ObjectRefusedError, match="leaves image"):
        closed_polyline(region, (ROWS, COLUMNS), "1.2.3")


def test_mammogram_that_was_left_out_is_listed_without_what_it_lacks() -> None:
    good = mammogram("CC")
    bad = mammogram("MLO", without=("ImagerPixelSpacing", "PatientOrientation"))
    left_out = image_of(bad, status=ImageStatus.LEFT_OUT, reason="no pixels")

    report = results_of((good, image_of(good, NEGATIVE)), (bad, left_out))[-1].dataset

    assert values_of(report, "111031") == ["399162004", "399368009"]


def test_mammogram_without_a_size_is_told_of_in_words_only() -> None:
    good = mammogram("CC")
    bad = mammogram("MLO", without=("Rows", "Columns"))
    left_out = image_of(bad, status=ImageStatus.LEFT_OUT, reason="no pixels")

    report = results_of((good, image_of(good, NEGATIVE)), (bad, left_out))[-1].dataset

    assert values_of(report, "111031") == ["399162004"]
    assert f"Image left out: L MLO, SOP Instance UID {bad.SOPInstanceUID}" in text_of(report)


def test_code_that_is_none_is_refused() -> None:
    with pytest.raises(ObjectRefusedError, match="coded concept"):
        report_with(finding(marker_mask(60, 150), code="mass"))


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
