"""References stay true over revisions, and what is as it was is not made a second time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from former_factory import former_of
from objects_factory import (
    NEGATIVE,
    bytes_of,
    finding,
    heatmap_of,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)
from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.former_results import FormerResult
from dicom_node.objects.products import ALL, OHIF, PACS, Profile
from dicom_node.objects.results import ResultObject

REPORTS = [ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT]
PARTS = [ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION, ResultKind.SUMMARY_SHEET]


def made(
    revision: int = 1,
    former: Sequence[FormerResult] = (),
    *,
    views: Sequence[str] = ("CC", "MLO"),
    score: float = 0.83,
    profile: Profile = ALL,
    **arguments: Any,
) -> tuple[ResultObject, ...]:
    """Build the results of one revision; the mediolateral view is always without findings."""
    datasets = {view: mammogram(view) for view in views}
    mass = finding(marker_mask(60, 150), score=score)
    pairs = [
        (dataset, image_of(dataset, NEGATIVE if view == "ML" else mass))
        for view, dataset in datasets.items()
    ]
    return results_of(
        *pairs,
        heatmaps=tuple(heatmap_of(dataset, 70.0, 170.0) for dataset in datasets.values()),
        identity=identity(revision),
        former=former,
        profiles=(profile,),
        **arguments,
    )


def uids(results: Sequence[ResultObject]) -> list[str]:
    return [str(one.dataset.SOPInstanceUID) for one in results]


def of_kind(results: Sequence[ResultObject], kind: ResultKind) -> Dataset:
    return next(one.dataset for one in results if one.kind is kind)


def predecessor_in(report: Dataset) -> str | None:
    if "PredecessorDocumentsSequence" not in report:
        return None
    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    return str(series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def evidence_of(report: Dataset) -> set[tuple[str, str]]:
    """Return series and instance of everything that a report lists as evidence."""
    return {
        (str(series.SeriesInstanceUID), str(item.ReferencedSOPInstanceUID))
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def where(results: Sequence[ResultObject]) -> set[tuple[str, str]]:
    """Return series and instance of objects, and of the images that they are of."""
    images = [mammogram(view) for view in ("CC", "MLO", "ML")]
    return {
        (str(one.SeriesInstanceUID), str(one.SOPInstanceUID))
        for one in (*(result.dataset for result in results), *images)
    }


def test_equal_answer_is_the_same_objects_in_the_next_revision() -> None:
    first = made()

    again = made(2, former_of(first))

    assert [bytes_of(one.dataset) for one in again] == [bytes_of(one.dataset) for one in first]


def test_answer_that_stays_equal_keeps_the_revision_that_made_it() -> None:
    first = made()

    third = made(3, former_of(first, made(2, former_of(first))))

    assert uids(third) == uids(first)
    assert of_kind(third, ResultKind.MEASUREMENT_REPORT).InstanceNumber == 1


def test_changed_answer_is_other_objects_of_its_revision() -> None:
    first = made()

    second = made(2, former_of(first), score=0.6)

    changed = [one for one in second if one.kind is not ResultKind.SEGMENTATION]
    assert not set(uids(first)) & set(uids(changed))
    assert of_kind(second, ResultKind.MEASUREMENT_REPORT).InstanceNumber == 2
    description = of_kind(second, ResultKind.SECONDARY_CAPTURE).SeriesDescription
    assert description == "AI pictures - RESEARCH USE ONLY, rev 2"


@pytest.mark.parametrize("kind", REPORTS)
def test_changed_report_is_in_the_series_of_its_predecessor_and_names_it(kind: ResultKind) -> None:
    first = made()

    report = of_kind(made(2, former_of(first), score=0.6), kind)

    assert report.SeriesInstanceUID == of_kind(first, kind).SeriesInstanceUID
    assert predecessor_in(report) == of_kind(first, kind).SOPInstanceUID


@pytest.mark.parametrize("kind", REPORTS)
def test_report_that_replaced_another_is_kept_as_it_is(kind: ResultKind) -> None:
    first = made()
    second = made(2, former_of(first), score=0.6)

    third = made(3, former_of(first, second), score=0.6)

    assert bytes_of(of_kind(third, kind)) == bytes_of(of_kind(second, kind))


@pytest.mark.parametrize("kind", REPORTS)
def test_report_whose_predecessor_came_late_is_kept_as_it_is(kind: ResultKind) -> None:
    first = made()
    second = made(2, former_of(first, held_for=frozenset()), score=0.6)
    assert predecessor_in(of_kind(second, kind)) is None

    third = made(3, former_of(first, second), score=0.6)

    assert bytes_of(of_kind(third, kind)) == bytes_of(of_kind(second, kind))


def test_report_that_no_archive_holds_is_nobodys_predecessor() -> None:
    first = made()
    second = made(2, former_of(first), score=0.6)
    former = [
        one if one.sop_instance_uid in uids(first) else replace(one, held_for=frozenset())
        for one in former_of(first, second)
    ]

    report = of_kind(made(3, former, score=0.7), ResultKind.CAD_REPORT)

    assert predecessor_in(report) == of_kind(first, ResultKind.CAD_REPORT).SOPInstanceUID


def test_answer_that_comes_back_is_a_new_report_that_replaces_the_other() -> None:
    first = made()
    second = made(2, former_of(first), score=0.6)

    third = made(3, former_of(first, second))

    report = of_kind(third, ResultKind.MEASUREMENT_REPORT)
    assert report.SOPInstanceUID not in uids(first)
    assert predecessor_in(report) == of_kind(second, ResultKind.MEASUREMENT_REPORT).SOPInstanceUID
    pictures = {one.kind for one in third if str(one.dataset.SOPInstanceUID) in uids(first)}
    assert ResultKind.SECONDARY_CAPTURE not in pictures


SITUATIONS: dict[str, dict[str, Any]] = {
    "retry": {},
    "changed answer": {"score": 0.6},
    "late image": {"views": ("CC", "MLO", "ML")},
    "changed profile": {"profile": OHIF},
    "another profile": {"profile": PACS},
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_evidence_lies_where_the_report_says(situation: str) -> None:
    first = made()

    second = made(2, former_of(first), **SITUATIONS[situation])
    third = made(3, former_of(first, second), **SITUATIONS[situation])

    for results in (second, third):
        evidence = evidence_of(of_kind(results, ResultKind.MEASUREMENT_REPORT))
        assert evidence <= where(results)
        parts = {str(one.dataset.SOPInstanceUID) for one in results if one.kind in PARTS}
        assert parts <= {uid for _, uid in evidence}


def test_changed_profile_does_not_make_the_same_pictures_again() -> None:
    first = made(profile=ALL)

    second = made(2, former_of(first), profile=OHIF)

    same = {one.kind for one in second if str(one.dataset.SOPInstanceUID) in uids(first)}
    assert same == {ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION}


def test_late_image_leaves_the_segmentations_of_the_others_as_they_are() -> None:
    first = made(views=("CC", "MLO"))

    second = made(2, former_of(first), views=("CC", "MLO", "ML"))

    kept = [one for one in second if one.kind is ResultKind.SEGMENTATION]
    assert uids(kept) == uids([one for one in first if one.kind is ResultKind.SEGMENTATION])


def test_pictures_of_one_answer_stand_in_one_series_without_older_ones() -> None:
    first = made(views=("CC", "MLO"))

    second = made(2, former_of(first), views=("CC", "MLO", "ML"))

    series = [
        {str(one.dataset.SeriesInstanceUID) for one in results if one.kind is kind}
        for results in (first, second)
        for kind in (ResultKind.SECONDARY_CAPTURE,)
    ]
    assert [len(one) for one in series] == [1, 1]
    assert series[0] != series[1]


def test_retracted_object_is_never_sent_again() -> None:
    first = made()

    second = made(2, former_of(first, is_retracted=True))

    assert not set(uids(first)) & set(uids(second))
