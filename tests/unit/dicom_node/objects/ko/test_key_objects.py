"""Key Object Selections flag the images with findings, and retract what a revision replaces."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import pytest
from every_kind import tomosynthesis
from former_factory import RETRACTING, WITH_REPORTS, former_of
from objects_factory import (
    NEGATIVE,
    finding,
    identity,
    image_of,
    mammogram,
    marker_mask,
    results_of,
)
from pydicom.dataset import Dataset
from services import require_program
from sr_reading import read_back
from validators import KEPT_DUMP_WARNING, dciodvfy_errors, report_template_complaints

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.former_results import FormerResult
from dicom_node.objects.products import OHIF, Profile
from dicom_node.objects.results import ResultObject


def made(
    revision: int = 1,
    former: Sequence[FormerResult] = (),
    *,
    score: float = 0.83,
    elsewhere: float = NEGATIVE.score,
    views: Sequence[str] = ("CC", "MLO"),
    profile: Profile = WITH_REPORTS,
) -> tuple[ResultObject, ...]:
    """Build the results of two views, of which only the first has a finding.

    The score of the others, below the threshold, stands in pictures and reports alone.
    """
    mass = finding(marker_mask(60, 150), score=score)
    first, *others = map(mammogram, views)
    return results_of(
        (first, image_of(first, mass)),
        *((other, image_of(other, replace(NEGATIVE, score=elsewhere))) for other in others),
        identity=identity(revision),
        former=former,
        profiles=(profile,),
    )


def documents(results: Sequence[ResultObject], kind: ResultKind) -> list[Dataset]:
    return [read_back(one.dataset) for one in results if one.kind is kind]


def title_of(document: Dataset) -> str:
    return str(document.ConceptNameCodeSequence[0].CodeValue)


def referenced_in(document: Dataset) -> set[str]:
    return {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in document.ContentSequence
        if "ReferencedSOPSequence" in item
    }


def evidence_of(document: Dataset) -> set[tuple[str, str]]:
    return {
        (series.SeriesInstanceUID, item.ReferencedSOPInstanceUID)
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def places(results: Sequence[ResultObject], *kinds: ResultKind) -> set[tuple[str, str]]:
    return {
        (one.dataset.SeriesInstanceUID, one.dataset.SOPInstanceUID)
        for one in results
        if one.kind in kinds
    }


def test_images_with_findings_are_of_interest() -> None:
    (selection,) = documents(made(), ResultKind.KEY_IMAGES)

    assert title_of(selection) == "113000"
    assert referenced_in(selection) == {mammogram("CC").SOPInstanceUID}
    image = mammogram("CC")
    assert evidence_of(selection) == {(image.SeriesInstanceUID, image.SOPInstanceUID)}


def test_no_image_is_of_interest_where_nothing_was_found() -> None:
    dataset = mammogram()

    results = results_of((dataset, image_of(dataset, NEGATIVE)), profiles=(WITH_REPORTS,))

    assert documents(results, ResultKind.KEY_IMAGES) == []


def test_selection_says_that_it_is_made_by_software_for_research() -> None:
    (selection,) = documents(made(), ResultKind.KEY_IMAGES)

    texts = [item.TextValue for item in selection.ContentSequence if item.ValueType == "TEXT"]
    assert any("RESEARCH USE ONLY - NOT FOR DIAGNOSIS" in text for text in texts)
    assert selection.Modality == "KO"
    assert hd.ko.KeyObjectSelectionDocument.from_dataset(selection).content is not None


def test_frame_with_a_finding_is_named() -> None:
    dataset = tomosynthesis()
    image = replace(image_of(dataset, replace(finding(marker_mask(60, 150)), frame=3)), frame=3)

    results = results_of((dataset, image), profiles=(WITH_REPORTS,))

    (selection,) = documents(results, ResultKind.KEY_IMAGES)
    (item,) = [one for one in selection.ContentSequence if one.ValueType == "IMAGE"]
    assert item.ReferencedSOPSequence[0].ReferencedFrameNumber == 3


def test_replaced_pictures_and_segmentations_are_rejected_for_patient_safety() -> None:
    first = made(profile=RETRACTING)

    second = made(2, former_of(first), views=("MLO", "CC"), profile=RETRACTING)

    (note,) = documents(second, ResultKind.REJECTION_NOTE)
    parts = (ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION)
    assert title_of(note) == "113037"
    assert evidence_of(note) == places(first, *parts)
    assert referenced_in(note) == {uid for _, uid in places(first, *parts)}
    assert second[-1].kind is ResultKind.REJECTION_NOTE


def test_what_is_still_valid_is_not_rejected() -> None:
    first = made(profile=RETRACTING)

    second = made(2, former_of(first), elsewhere=0.1, profile=RETRACTING)

    (note,) = documents(second, ResultKind.REJECTION_NOTE)
    assert evidence_of(note) == places(first, ResultKind.SECONDARY_CAPTURE)


def test_reports_are_replaced_and_not_rejected() -> None:
    first = made()

    (note,) = documents(made(2, former_of(first), score=0.6), ResultKind.REJECTION_NOTE)

    reports = places(first, ResultKind.MEASUREMENT_REPORT, ResultKind.CAD_REPORT)
    assert not evidence_of(note) & reports


def test_equal_answer_rejects_nothing() -> None:
    first = made()

    assert documents(made(2, former_of(first)), ResultKind.REJECTION_NOTE) == []


def test_what_no_archive_holds_is_not_rejected() -> None:
    first = former_of(made(), held_for=frozenset())

    assert documents(made(2, first, score=0.6), ResultKind.REJECTION_NOTE) == []


def test_what_was_rejected_is_not_rejected_again() -> None:
    first = made(profile=RETRACTING)
    second = made(2, former_of(first), elsewhere=0.1, profile=RETRACTING)
    rejected = {uid for _, uid in places(first, ResultKind.SECONDARY_CAPTURE)}
    former = [
        replace(one, is_retracted=one.sop_instance_uid in rejected)
        for one in former_of(first, second)
    ]

    third = made(3, former, elsewhere=0.1, profile=RETRACTING)

    assert documents(third, ResultKind.REJECTION_NOTE) == []


def test_note_that_was_not_sent_is_the_same_note_in_the_next_revision() -> None:
    first = made(profile=RETRACTING)
    second = made(2, former_of(first), elsewhere=0.1, profile=RETRACTING)

    third = made(3, former_of(first, second), elsewhere=0.1, profile=RETRACTING)

    kind = ResultKind.REJECTION_NOTE
    assert places(third, kind) == places(second, kind) != set()


def test_answer_that_comes_back_is_not_what_was_rejected() -> None:
    first = made(profile=RETRACTING)
    second = made(2, former_of(first), elsewhere=0.1, profile=RETRACTING)

    third = made(3, former_of(first, second), profile=RETRACTING)

    kind = ResultKind.SECONDARY_CAPTURE
    assert not places(third, kind) & places(first, kind)


def test_neither_is_made_for_a_profile_that_does_not_ask_for_it() -> None:
    first = made(profile=OHIF)

    second = made(2, former_of(first), score=0.6, profile=OHIF)

    kinds = {one.kind for one in second}
    assert not kinds & {ResultKind.KEY_IMAGES, ResultKind.REJECTION_NOTE}


@pytest.mark.parametrize("kind", [ResultKind.KEY_IMAGES, ResultKind.REJECTION_NOTE])
def test_other_readers_find_nothing_wrong(kind: ResultKind, tmp_path: Path) -> None:
    results = made(2, former_of(made()), score=0.6)
    file = tmp_path / "document.dcm"
    (result,) = [one for one in results if one.kind is kind]
    result.dataset.save_as(file, enforce_file_format=True)

    assert dciodvfy_errors(file) == []
    dumped = subprocess.run(
        [require_program("dsrdump"), file], capture_output=True, text=True, check=True
    )
    assert "Key Object Selection Document" in dumped.stdout
    assert all(map(KEPT_DUMP_WARNING.match, dumped.stderr.splitlines()))
    assert report_template_complaints(file, "TID_2010 (KeyObjectSelection)") == []
