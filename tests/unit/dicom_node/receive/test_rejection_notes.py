"""Images that an archive rejects are taken out of their study, whenever they come."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from node_factory import STUDY_UID, Reception, four_views, put
from pydicom.dataset import Dataset
from rejection_notes import coded, rejection_note
from sqlalchemy import select

from dicom_node.facts.rejection_note import REASONS, rejection_in
from dicom_node.studies.ledger.removal.erasing import erase_study
from dicom_node.studies.ledger.site_tables import Rejection
from dicom_node.studies.ledger.states import InstanceState, StudyState
from dicom_node.studies.ledger.tables import Instance, Study, Transition


def further(*case: Any) -> Any:
    """Mark a case that is like another, for the long run."""
    return pytest.param(*case, marks=pytest.mark.long)


@pytest.fixture
def images() -> list[Dataset]:
    return four_views()


def states(reception: Reception, images: list[Dataset]) -> list[tuple[str, str]]:
    """Return state and reason of the newest row of each image."""
    rows = {row.sop_instance_uid: row for row in reception.instances()}
    found = (rows[str(image.SOPInstanceUID)] for image in images)
    return [(row.state.value, row.reason) for row in found]


def settled(reception: Reception) -> None:
    with reception.database.writing() as session:
        session.scalars(select(Study)).one().state = StudyState.SETTLED


@pytest.mark.parametrize("code", ["113001", *(further(one) for one in sorted(REASONS)[1:])])
def test_rejected_images_are_taken_out_and_the_history_says_why(
    reception: Reception, images: list[Dataset], code: str
) -> None:
    for image in images:
        reception.receive(image)
    settled(reception)

    row = reception.receive(rejection_note(images[:2], code))

    assert row is not None
    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "rejection-note")
    assert states(reception, images) == [("set_aside", "rejected")] * 2 + [("registered", "")] * 2
    assert reception.study().state is StudyState.OPEN
    because = [one.reason for one in reception.rows(Transition) if one.subject == "study"]
    assert because[-1] == f"2 of its images were rejected: {REASONS[code]}"
    kept = [one for one in reception.instances() if one.reason == "rejected"]
    assert all(reception.spool.file(one.place).exists() for one in kept)
    assert all(REASONS[code] in one.detail for one in kept)


@pytest.mark.parametrize("code", ["113037", further("113001"), further("113038")])
def test_note_that_comes_first_waits_for_its_images(
    reception: Reception, images: list[Dataset], code: str
) -> None:
    reception.receive(rejection_note(images[:1], code))

    for image in images:
        reception.receive(image)

    assert states(reception, images)[0] == ("set_aside", "rejected")
    assert states(reception, images)[1:] == [("registered", "")] * 3


def test_rejected_image_that_is_sent_again_stays_out(
    reception: Reception, images: list[Dataset]
) -> None:
    for image in images:
        reception.receive(image)
    reception.receive(rejection_note(images[:1]))
    settled(reception)

    changed = copy.deepcopy(images[0])
    changed.AccessionNumber = "A-2"
    reception.receive(images[0])
    reception.receive(changed)

    assert states(reception, images)[0] == ("set_aside", "rejected")
    assert reception.study().state is StudyState.SETTLED


def test_image_that_was_deleted_by_age_counts_when_it_is_sent_again(
    reception: Reception, images: list[Dataset]
) -> None:
    reception.receive(images[0])
    reception.receive(rejection_note(images[:1], "113039"))
    assert states(reception, images[:1]) == [("set_aside", "rejected")]

    reception.receive(images[0])

    assert states(reception, images[:1]) == [("registered", "")]


def test_note_and_images_of_one_batch_come_to_the_same_in_every_order(
    reception: Reception, images: list[Dataset]
) -> None:
    note = rejection_note(images[:2])
    for one in (images[0], note, *images[1:]):
        put(reception.spool, one)

    reception.registrar.register_all()

    assert states(reception, images) == [("set_aside", "rejected")] * 2 + [("registered", "")] * 2
    assert reception.spool.incoming() == []
    rows = [row for row in reception.instances() if row.place]
    assert all(reception.spool.file(row.place).exists() for row in rows)


def test_registrar_killed_before_it_moves_files_ends_with_the_same(
    reception: Reception, images: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (*images, rejection_note(images[:1])):
        put(reception.spool, one)

    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(type(reception.spool), "file_away", killed)
        with pytest.raises(KilledError):
            reception.registrar.register_all()
    reception.registrar.register_all()

    assert states(reception, images) == [("set_aside", "rejected")] + [("registered", "")] * 3
    assert reception.spool.incoming() == []


def test_same_note_twice_opens_the_study_once(reception: Reception, images: list[Dataset]) -> None:
    for image in images:
        reception.receive(image)
    note = rejection_note(images[:1])
    other = copy.deepcopy(note)
    other.SOPInstanceUID = f"{note.SOPInstanceUID}.2"
    reception.receive(note)
    settled(reception)

    reception.receive(note)
    reception.receive(other)

    assert reception.study().state is StudyState.SETTLED
    assert len(reception.rows(Rejection)) == 1


def test_image_whose_file_was_removed_is_taken_out_too(
    reception: Reception, images: list[Dataset]
) -> None:
    for image in images:
        reception.receive(image)
    with reception.database.writing() as session:
        row = session.scalars(select(Instance).order_by(Instance.id)).first()
        assert row is not None
        row.state, row.removed_at, row.place = InstanceState.REMOVED, datetime.now(UTC), ""

    reception.receive(rejection_note(images[:1]))

    assert states(reception, images)[0] == ("set_aside", "rejected")


def test_erased_study_leaves_no_rejection(reception: Reception, images: list[Dataset]) -> None:
    reception.receive(rejection_note(images))

    with reception.database.writing() as session:
        erase_study(session, STUDY_UID, force=True, at=datetime.now(UTC))

    assert reception.rows(Rejection) == []


@pytest.mark.parametrize(
    "harmless",
    [
        {"ConceptNameCodeSequence": [coded("113000")]},
        further({"ConceptNameCodeSequence": [coded("113001", "99LOCAL")]}),
        further({"ConceptNameCodeSequence": []}),
        further({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"}),
        further({"CurrentRequestedProcedureEvidenceSequence": []}),
        {"CurrentRequestedProcedureEvidenceSequence": [Dataset()]},
        further({"study_instance_uid": f"{STUDY_UID}.5"}),
    ],
    ids=str,
)
def test_document_that_rejects_nothing_of_the_study_changes_nothing(
    reception: Reception, images: list[Dataset], harmless: dict
) -> None:
    for image in images:
        reception.receive(image)

    reception.receive(rejection_note(images, **harmless))

    assert states(reception, images) == [("registered", "")] * 4


def test_note_about_images_of_another_study_touches_only_its_own(
    reception: Reception, images: list[Dataset]
) -> None:
    for image in images:
        reception.receive(image)
    note = rejection_note(images)
    note.StudyInstanceUID = f"{STUDY_UID}.5"

    reception.receive(note)

    assert states(reception, images) == [("registered", "")] * 4


def test_only_what_evidence_and_content_both_name_is_rejected(images: list[Dataset]) -> None:
    def named(*content: Dataset) -> tuple[str, ...]:
        return rejection_in(rejection_note(images[:2], in_content=content), STUDY_UID)[1]

    first, second, third = (str(one.SOPInstanceUID) for one in images[:3])
    assert named(images[0]) == (first,)
    assert named() == (first, second)
    assert third not in named(images[2], images[0])


@pytest.mark.parametrize(("others", "taken"), [(1999, 1), (2000, 0)])
def test_note_with_thousands_of_images_is_followed_or_set_aside_with_the_reason(
    reception: Reception, images: list[Dataset], others: int, taken: int
) -> None:
    for image in images:
        reception.receive(image)
    note = rejection_note(images[:1])
    series = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    for number in range(others):
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = "1.2", f"1.2.{number}"
        series.ReferencedSOPSequence.append(one)
    note.ContentSequence = []

    row = reception.receive(note)

    assert row is not None
    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "rejection-note")
    assert states(reception, images).count(("set_aside", "rejected")) == taken
    assert ("more than 2000: none of them was taken out" in row.detail) == (not taken)
