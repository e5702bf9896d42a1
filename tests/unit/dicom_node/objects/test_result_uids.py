"""Equal answers are the same objects, changed answers are others."""

import re
from dataclasses import replace

import pytest
from objects_factory import (
    BUNDLE,
    bytes_of,
    finding,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
    study_of,
)
from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.results import ResultObject
from dicom_node.objects.uids import AnalysisUIDs
from mammoclip_core.findings import StudyFindings


def results(score: float = 0.83, revision: int = 1, left: int = 60) -> tuple[ResultObject, ...]:
    dataset = mammogram()
    return results_of(
        (dataset, image_of(dataset, finding(marker_mask(left, 150), score=score))),
        identity=identity(revision),
    )


def sop_instance_uids(objects: tuple[ResultObject, ...]) -> list[str]:
    return [str(result.dataset.SOPInstanceUID) for result in objects]


def series_of(objects: tuple[ResultObject, ...], kind: ResultKind) -> Dataset:
    return next(result.dataset for result in objects if result.kind is kind)


def uids_of(findings: StudyFindings, sources: tuple[str, ...] = ("1.2.3",)) -> str:
    uids = AnalysisUIDs.of(findings, sources, revision=1)
    return uids.sop_instance_uid(ResultKind.MEASUREMENT_REPORT)


def test_two_builds_are_byte_identical() -> None:
    assert [bytes_of(r.dataset) for r in results()] == [bytes_of(r.dataset) for r in results()]


def test_revision_leaves_sop_instance_uids_as_they_are() -> None:
    assert sop_instance_uids(results(revision=1)) == sop_instance_uids(results(revision=2))


def test_changed_score_changes_every_sop_instance_uid() -> None:
    assert not set(sop_instance_uids(results(0.83))) & set(sop_instance_uids(results(0.84)))


def test_score_below_a_tenth_of_a_percent_changes_nothing() -> None:
    assert sop_instance_uids(results(0.83)) == sop_instance_uids(results(0.8301))


def test_moved_region_changes_every_sop_instance_uid() -> None:
    assert not set(sop_instance_uids(results(left=60))) & set(sop_instance_uids(results(left=61)))


@pytest.mark.parametrize(
    "changed",
    [
        replace(study_of(), settings_sha256="ef" * 32),
        replace(study_of(), bundle=replace(BUNDLE, sha256="ef" * 32)),
        replace(study_of(), study_instance_uid="1.2.840.1"),
    ],
)
def test_changed_settings_weights_or_study_change_the_uid(changed: StudyFindings) -> None:
    assert uids_of(changed) != uids_of(study_of())


def test_further_source_changes_the_uid() -> None:
    assert uids_of(study_of(), ("1.2.3", "1.2.4")) != uids_of(study_of(), ("1.2.3",))


def test_order_of_sources_does_not_matter() -> None:
    assert uids_of(study_of(), ("1.2.3", "1.2.4")) == uids_of(study_of(), ("1.2.4", "1.2.3"))


def test_reports_of_all_revisions_share_a_series() -> None:
    first, second = (
        series_of(results(revision=revision), ResultKind.MEASUREMENT_REPORT) for revision in (1, 2)
    )

    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


@pytest.mark.parametrize("kind", [ResultKind.SEGMENTATION, ResultKind.SECONDARY_CAPTURE])
def test_other_kinds_have_a_series_for_each_revision(kind: ResultKind) -> None:
    first, second = (series_of(results(revision=revision), kind) for revision in (1, 2))

    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.SeriesDescription.endswith("rev 1")
    assert second.SeriesDescription.endswith("rev 2")


def test_uids_are_valid_uuid_derived_ones() -> None:
    for uid in sop_instance_uids(results()):
        assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]{0,38})", uid)
