"""A score without a place is told in words and with its certainty, and never as a mark."""

from dataclasses import replace

import pytest
from cad_reports_read import one_image
from objects_factory import (
    NEGATIVE,
    cad_report_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)
from pydicom.dataset import Dataset
from sr_reading import child, children, concept, read_back, value_code, walk

from mammoclip_core.findings import BreastFindings, Finding, LocalisationMethod

CANCER = finding(name="malignancy", code="SCT|21594007|Malignant", score=0.71)
BREAST = BreastFindings(laterality="L", findings=(replace(CANCER, threshold=0.5),))


def words_of(report: Dataset) -> str:
    return child(child(report, "111017"), "111033").TextValue


def test_there_is_no_mark_and_no_impression_of_a_place() -> None:
    concepts = {concept(item) for _, item in walk(one_image(CANCER))}

    assert not concepts & {"111059", "111034", "111010", "111041"}


def test_summary_says_with_findings_and_gives_the_certainty() -> None:
    report = one_image(CANCER)

    summary = child(report, "111017")
    assert value_code(summary) == "111242"
    certainty = child(summary, "111013").MeasuredValueSequence[0]
    assert float(certainty.NumericValue) == 71.0


def test_words_name_the_view_and_that_there_is_no_place() -> None:
    said = "L MLO: malignancy score 0.71, above threshold; the model gives no place."

    assert said in words_of(one_image(CANCER))


def test_score_of_a_breast_alone_is_stated() -> None:
    dataset = mammogram()

    report = read_back(cad_report_of((dataset, image_of(dataset)), breasts=(BREAST,)))

    assert value_code(child(report, "111017")) == "111242"
    assert "Left: malignancy score 0.71, above threshold 0.50; the model gives no place." in (
        words_of(report)
    )


def test_examination_is_stated_first_and_gives_the_certainty() -> None:
    pairs = [(one, image_of(one)) for one in (mammogram(laterality=side) for side in "RL")]
    higher = BreastFindings(laterality="L", findings=(replace(BREAST.findings[0], score=0.9),))

    report = read_back(cad_report_of(*pairs, breasts=(replace(BREAST, laterality="R"), higher)))

    sentences = words_of(report).split("; the model gives no place.")
    assert [words.rpartition(". ")[2].strip() for words in sentences[:3]] == [
        "Examination: malignancy score 0.90, above threshold 0.50",
        "Right: malignancy score 0.71, above threshold 0.50",
        "Left: malignancy score 0.90, above threshold 0.50",
    ]
    certainty = child(child(report, "111017"), "111013").MeasuredValueSequence[0]
    assert float(certainty.NumericValue) == 90.0


def test_breast_whose_finding_is_marked_needs_no_words() -> None:
    dataset = mammogram()
    image = image_of(dataset, finding(marker_mask(60, 150)))
    breast = BreastFindings(laterality="L", findings=(finding(),))

    report = read_back(cad_report_of((dataset, image), breasts=(breast,)))

    assert "gives no place" not in words_of(report)
    assert not children(child(report, "111017"), "111013")


@pytest.mark.parametrize("case", [CANCER, replace(CANCER, score=0.1, above_threshold=False)])
def test_no_detection_is_claimed_that_was_not_performed(case: Finding) -> None:
    report = one_image(replace(case, method=LocalisationMethod.NONE))

    assert value_code(child(report, "111064")) == "111225"
    assert "111022" not in {concept(item) for _, item in walk(report)}


def test_detections_are_of_what_has_places() -> None:
    report = one_image(CANCER, NEGATIVE)

    performed = [item for _, item in walk(report) if concept(item) == "111022"]
    assert [value_code(item) for item in performed] == ["129793001"]
    assert value_code(child(report, "111064")) == "111222"


@pytest.mark.parametrize("breasts", [(), (BREAST,)])
def test_measurement_report_has_a_concept_of_its_own_for_it(
    breasts: tuple[BreastFindings, ...],
) -> None:
    dataset = mammogram()

    results = results_of((dataset, image_of(dataset, CANCER)), breasts=breasts)

    report = read_back(results[-1].dataset)
    found = [
        item for _, item in walk(report) if concept(item) == "121071" and item.ValueType == "CODE"
    ]
    assert {item.ConceptCodeSequence[0].CodeMeaning for item in found} == {"Malignancy score"}
    assert "52988006" not in {one.value for one in report.iterall() if one.keyword == "CodeValue"}
