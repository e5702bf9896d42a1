"""What is below its threshold, and a negative class, is a finding in no object."""

from dataclasses import replace

import pytest
from every_kind import EVERY_KIND
from objects_factory import finding, image_of, mammogram, marker_mask, results_of
from pydicom.dataset import Dataset
from sr_reading import concept, read_back, value_code, walk

from dicom_node.facts.result_kinds import ResultKind
from mammoclip_core.findings import BreastFindings, Finding

WITHOUT = "111241"
BELOW = finding(marker_mask(60, 150), score=0.4, above_threshold=False)
NORMAL = finding(name="assessment.normal", code="99MAMMOCLIP|assessment.normal|normal", score=0.9)


def objects_with(*findings: Finding, **arguments: object) -> dict[ResultKind, Dataset]:
    dataset = mammogram()
    made = results_of((dataset, image_of(dataset, *findings)), profiles=(EVERY_KIND,), **arguments)
    return {one.kind: read_back(one.dataset) for one in made}


def summaries(objects: dict[ResultKind, Dataset]) -> set[str]:
    """Return the summary of processing and findings of every report."""
    return {
        value_code(item)
        for kind, report in objects.items()
        if kind.row.is_report
        for _, item in walk(report)
        if concept(item) == "111017" and item.ValueType == "CODE"
    }


def words_of_reports(objects: dict[ResultKind, Dataset]) -> str:
    return " ".join(
        item.TextValue
        for kind, report in objects.items()
        if kind.row.is_report
        for _, item in walk(report)
        if item.get("ValueType") == "TEXT"
    )


@pytest.mark.parametrize("case", [BELOW, NORMAL, replace(NORMAL, name="benign")])
def test_reports_say_without_findings_and_hold_none(case: Finding) -> None:
    objects = objects_with(case)

    assert summaries(objects) == {WITHOUT}
    for kind in (ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT):
        concepts = {concept(item) for _, item in walk(objects[kind])}
        assert not concepts & {"125007", "121071", "111059", "111034"}, kind


@pytest.mark.parametrize("case", [BELOW, NORMAL])
def test_no_other_object_shows_anything(case: Finding) -> None:
    objects = objects_with(case)

    assert not objects.keys() & {ResultKind.SEGMENTATION, ResultKind.PRESENTATION_STATE}


def test_score_below_the_threshold_stands_in_words() -> None:
    words = words_of_reports(objects_with(BELOW))

    assert "mass score 0.40 (below threshold)" in words
    assert "regions of mass are left out, since the score is below the threshold" in words


def test_negative_class_stands_in_words() -> None:
    words = words_of_reports(objects_with(NORMAL))

    assert "assessment.normal score 0.90 (highest of its classes, no finding)" in words


def test_finding_below_leaves_the_one_above_alone() -> None:
    other = replace(BELOW, name="suspicious_calcification", code="SCT|129769006|Cluster")
    objects = objects_with(finding(marker_mask(100, 200)), other)

    assert summaries(objects) == {"111242"}
    assert len(objects[ResultKind.SEGMENTATION].SegmentSequence) == 1


def test_negative_class_of_a_breast_is_no_finding_either() -> None:
    breast = BreastFindings(laterality="L", findings=(NORMAL,))

    assert summaries(objects_with(NORMAL, breasts=(breast,))) == {WITHOUT}
