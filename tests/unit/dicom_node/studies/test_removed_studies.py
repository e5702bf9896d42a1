"""Studies whose files were removed: sent again, retried, corrected, and shown."""

from datetime import timedelta

import pytest
from kept_studies import LONG_AFTER, Kept, retention
from node_factory import NOW, SOMEBODY_ELSE, Reception, claimed, finished, made_result, mammogram
from sqlalchemy import select

from dicom_node.errors import RemovedError
from dicom_node.studies.ledger.queries.former_objects import former_objects
from dicom_node.studies.ledger.queries.reading import find_study, summary
from dicom_node.studies.ledger.states import InstanceState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.operator_actions import judge_again, retry_study
from dicom_node.studies.settling import Patience, settle_if_complete

UID = "1.2.826.0.1.3680043.8.498.82"


@pytest.fixture
def removed(reception: Reception) -> Kept:
    """Return a study that was received, delivered and removed."""
    kept = Kept(reception, UID, is_received=True).deliver()
    assert retention(reception).step() == 1
    assert kept.files() == set()
    return kept


def settled(reception: Reception) -> None:
    at = reception.study(UID).last_received_at + timedelta(days=1)
    patience = Patience(idle=timedelta(0), grace=timedelta(0))
    with reception.database.writing() as session:
        settle_if_complete(session, reception.study(UID).id, sent=(), patience=patience, at=at)


def analyses(reception: Reception) -> list[str]:
    return [row.state.value for row in reception.rows(Analysis)]


def test_study_that_comes_again_is_kept_and_delivered_no_second_time(
    reception: Reception, removed: Kept, log_lines: list[dict[str, object]]
) -> None:
    rows = removed.send()

    assert [(row.state, row.reason) for row in rows] == [
        (InstanceState.REGISTERED, "kept-again")
    ] * 2
    assert [line["event"] for line in log_lines].count("instance_kept_again") == 2
    assert reception.study(UID).state is StudyState.SETTLED
    assert analyses(reception) == ["done"]
    assert len(reception.rows(Delivery)) == 1
    assert len(removed.files()) == 2
    # As any repeat of what the node has.
    assert removed.send() == [None, None]


def test_study_that_comes_again_is_removed_again_after_its_time(
    reception: Reception, removed: Kept
) -> None:
    removed.send()
    last = reception.study(UID).last_received_at

    assert retention(reception, at=last + timedelta(days=29)).step() == 0
    assert retention(reception, at=last + timedelta(days=31)).step() == 1

    assert removed.files() == set()
    assert removed.send()[0] is not None


def test_study_that_comes_again_is_analysed_when_an_operator_retries_it(
    reception: Reception, removed: Kept
) -> None:
    with (
        pytest.raises(RemovedError, match=r"2 images were removed on .* Send the whole study"),
        reception.database.writing() as session,
    ):
        retry_study(session, UID, at=NOW)
    removed.send()

    with reception.database.writing() as session:
        (done,) = retry_study(session, UID, at=NOW)

    assert done.startswith("analysis of revision 2 is due")


def test_half_a_study_that_comes_again_cannot_be_retried(
    reception: Reception, removed: Kept
) -> None:
    reception.receive(removed.images[0])

    with (
        pytest.raises(RemovedError, match="the files of 1 image were removed"),
        reception.database.writing() as session,
    ):
        retry_study(session, UID, at=NOW)


def test_new_image_of_a_removed_study_waits_for_the_others(
    reception: Reception, removed: Kept
) -> None:
    late = mammogram("MLO", "L", StudyInstanceUID=UID)
    reception.receive(late)
    settled(reception)

    # One image alone would take the place of an answer that was given on both.
    assert analyses(reception) == ["done"]
    with reception.database.reading() as session:
        told = summary(session, find_study(session, UID))
    assert told.condition == "held"
    assert "the files of 2 of its images were removed" in told.reason
    assert "send the whole study again" in told.reason

    removed.send()
    assert reception.study(UID).state is StudyState.OPEN
    settled(reception)
    assert analyses(reception) == ["done", "due"]


def test_corrected_image_of_a_removed_study_opens_it(reception: Reception, removed: Kept) -> None:
    rows = removed.send(ViewPosition="MLO")

    assert [row.reason for row in rows] == ["", ""]
    settled(reception)
    assert analyses(reception) == ["done", "due"]


def test_image_of_another_patient_is_still_known_as_one(
    reception: Reception, removed: Kept
) -> None:
    (row, *_) = removed.send(**SOMEBODY_ELSE)

    assert row is not None
    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "two-patients")


def test_set_aside_image_that_was_removed_is_not_judged_again(reception: Reception) -> None:
    row = reception.receive(mammogram(StudyInstanceUID=UID, without=["ImageLaterality"]))
    assert row is not None
    later = row.received_at + timedelta(days=91)
    from dicom_node.settings.operation.retention import RetentionSettings

    retention(reception, RetentionSettings(set_aside_days=90), at=later).step()

    with reception.database.writing() as session:
        assert judge_again(session, UID, at=NOW) == []
    reception.registrar.register_all()
    assert reception.instances()[0].state is InstanceState.SET_ASIDE


def test_new_revision_builds_on_no_file_that_was_or_is_to_be_removed(
    reception: Reception, removed: Kept
) -> None:
    removed.send()
    with reception.database.writing() as session:
        analysis = removed.settle(session)

        (former,) = former_objects(session, analysis).values()

    assert former.made.place == ""
    assert former.accepted_by == frozenset()


def test_study_that_is_analysed_again_keeps_its_new_files(
    reception: Reception, removed: Kept
) -> None:
    removed.send()
    with reception.database.writing() as session:
        analysis = removed.settle(session)
        place = reception.spool.keep_result(b"new", analysis.id, 0, "000-report")
        finished(session, analysis, made_result(place=place))

    retention(reception, at=LONG_AFTER).step()

    assert len(removed.files()) == 3
    with reception.database.writing() as session:
        delivery = session.scalars(select(Delivery).order_by(Delivery.id.desc())).first()
        assert delivery is not None
        claimed(session, delivery)
