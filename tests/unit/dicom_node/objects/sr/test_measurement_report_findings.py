"""A measurement report says what was found, with what certainty, and what computed it."""

import highdicom as hd
import pytest
from measurement_reports_read import (
    EVALUATIONS,
    concept_name,
    evaluations_of,
    images_of,
    items,
    report_of,
    report_with,
    text_of,
    values_of,
)
from objects_factory import BUNDLE, NEGATIVE, finding, image_of, mammogram, marker_mask, results_of
from sr_reading import read_back
from study_cases import CASES

from mammoclip_core.findings import BreastFindings

PROCESSING_SUMMARY = ("111017", "DCM", "CAD Processing and Findings Summary")
COMPOSITION = ("129715009", "SCT", "Breast composition")
FINDING = ("121071", "DCM", "Finding")


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

    assert [
        concept_name(i)[0] for i in items(report) if concept_name(i)[0] in {"111012", "111047"}
    ] == [expected]


def test_malignancy_is_reported_as_a_lesion_that_was_looked_at() -> None:
    report = report_with(finding(marker_mask(60, 150), name="malignancy", code="SCT|1|Cancer"))

    assert values_of(report, "121071") == ["52988006"]


def test_finding_keeps_the_code_of_the_manifest() -> None:
    assert values_of(report_with(finding(marker_mask(60, 150))), "121071") == ["4147007"]


def test_score_of_a_third_fits_a_decimal_string() -> None:
    report = report_with(finding(marker_mask(60, 150), score=1 / 3))

    (number,) = [i for i in items(report) if concept_name(i)[0] == "111012"]
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
    assert [item.value for item in each] == [
        f"L {view}: All algorithms succeeded; without findings" for view in ("CC", "MLO")
    ]
    coded = [item.ContentSequence[0].ConceptCodeSequence[0].CodeValue for item in each]
    assert coded == ["111241", "111241"]
    assert not any(concept_name(item)[0] == "111012" for item in items(report))


def test_finding_of_a_whole_image_keeps_what_it_is_of() -> None:
    report = report_with(finding(name="malignancy", score=0.7, calibrated=True))

    (item,) = evaluations_of(report, hd.sr.CodedConcept(*FINDING))
    properties = {concept_name(child)[0]: child for child in item.ContentSequence}
    assert item.value.value == "malignancy_score"
    assert images_of(item) == {mammogram().SOPInstanceUID}
    assert float(properties["111047"].MeasuredValueSequence[0].NumericValue) == 70.0
    assert properties["363698007"].ContentSequence[0].ConceptCodeSequence[0].CodeValue == "7771000"
    assert properties["112039"].TextValue == "L MLO malignancy"
    assert properties["111001"].TextValue == BUNDLE.name


def test_score_of_a_breast_names_the_images_that_it_rests_on() -> None:
    views = [mammogram("CC"), mammogram("MLO"), mammogram("CC", "R")]
    breast = BreastFindings(laterality="L", findings=(finding(), NEGATIVE), density="C")

    results = results_of(*((one, image_of(one, NEGATIVE)) for one in views), breasts=(breast,))

    report = read_back(results[-1].dataset)
    (score,) = evaluations_of(report, hd.sr.CodedConcept(*FINDING))
    _, density = evaluations_of(report, hd.sr.CodedConcept(*COMPOSITION))
    assert images_of(score) == images_of(density) == {one.SOPInstanceUID for one in views[:2]}


def test_report_states_research_use_weights_and_scores_below_threshold() -> None:
    text = text_of(report_of("no finding"))

    assert "RESEARCH USE ONLY - NOT FOR DIAGNOSIS. UNTRAINED DEMONSTRATION WEIGHTS" in text
    assert "licence Apache-2.0, permitted use: demonstration use" in text
    assert "L MLO: mass score 0.12 (below threshold)" in text


def test_every_group_says_what_computed_it() -> None:
    report = report_of("one finding")

    assert set(values_of(report, "111002")) >= {"computed by openvino 2026.4.1 float32"}


def test_density_is_stated_for_the_breast_and_for_the_examination() -> None:
    assert values_of(report_of("many findings"), "129715009") == [
        "129718006",
        "left breast: Heterogeneously dense",
        "129718006",
    ]


def test_findings_of_several_images_are_told_apart_in_their_values() -> None:
    cancer = finding(name="malignancy", code="", score=0.7)
    pairs = [(one, image_of(one, cancer)) for one in (mammogram("CC"), mammogram("CC", "R"))]

    report = read_back(results_of(*pairs)[-1].dataset)

    found = evaluations_of(report, hd.sr.CodedConcept(*FINDING))
    assert [item.value for item in found] == [
        "R CC: Malignancy score, 70.0 %",
        "L CC: Malignancy score, 70.0 %",
    ]
    assert [len(images_of(item)) for item in found] == [1, 1]


def test_no_two_values_that_a_reader_sees_side_by_side_are_the_same() -> None:
    for case in CASES:
        content = hd.sr.Comprehensive3DSR.from_dataset(report_of(case)).content[0]
        (container,) = hd.sr.utils.find_content_items(content, name=EVALUATIONS)
        seen = [
            (concept_name(item), item.value if item.ValueType == "TEXT" else item.value.meaning)
            for item in container.ContentSequence
        ]
        assert len(seen) == len(set(seen)), case
