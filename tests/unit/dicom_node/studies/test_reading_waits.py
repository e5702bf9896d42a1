"""The overview says what a study waits for, and what its results lack."""

import json
from datetime import timedelta

import pytest
from node_factory import analysis_row, delivery_row, study_row
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.due.workers import note_worker
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Study

MINUTE = timedelta(minutes=1)


@pytest.fixture
def study(session: Session) -> Study:
    return study_row(session)


def reason(session: Session, study: Study) -> str:
    return reading.summary(session, study).reason


def findings(*statuses: str) -> str:
    return json.dumps({"images": [{"status": status} for status in statuses]})


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (["analysed"] * 4, ""),
        (["analysed"] * 3 + ["failed"], "1 of 4 images could not be read"),
        (["failed", "failed", "left_out"], "2 of 2 images could not be read"),
        (["failed"], "1 of 1 image could not be read"),
    ],
)
@pytest.mark.parametrize("state", [DeliveryState.ACCEPTED, DeliveryState.REFUSED])
def test_study_with_unread_images_says_how_many(
    session: Session, study: Study, statuses: list[str], words: str, state: DeliveryState
) -> None:
    done = analysis_row(session, study, state=AnalysisState.DONE, findings=findings(*statuses))
    delivery_row(session, done, state=state, reason="no" if state == "refused" else "")

    assert reason(session, study).startswith(words)
    assert ("could not be read" in reason(session, study)) == bool(words)


def test_study_that_no_worker_takes_says_so(session: Session, study: Study) -> None:
    at = database_time(session) - MINUTE
    analysis_row(session, study, due_at=at, dispatched_at=at)

    assert "no worker has taken it" in reason(session, study)


def note_trouble(session: Session) -> None:
    note_worker(
        session,
        "1" * 32,
        name="gpu@host",
        queues=["gpu", "deliver"],
        processes=1,
        version="1",
        trouble="the broker cannot be used",
    )


@pytest.mark.parametrize("is_dispatched", [False, True])
def test_study_says_what_keeps_the_only_worker_from_taking_it(
    session: Session, study: Study, is_dispatched: bool
) -> None:
    at = database_time(session) - MINUTE
    analysis_row(session, study, due_at=at, dispatched_at=at if is_dispatched else None)
    note_trouble(session)

    words = "no worker takes it: the broker cannot be used (found by gpu@host)"
    assert reason(session, study) == words


def test_delivery_says_what_keeps_the_only_worker_from_taking_it(
    session: Session, study: Study
) -> None:
    at = database_time(session) - MINUTE
    done = analysis_row(session, study, state=AnalysisState.DONE, findings=findings("analysed"))
    delivery_row(session, done, due_at=at)
    note_trouble(session)

    assert "no worker takes it: the broker cannot be used" in reason(session, study)


def test_study_that_the_broker_was_not_told_of_says_so(session: Session, study: Study) -> None:
    analysis_row(session, study, due_at=database_time(session) - MINUTE)

    assert "not handed to the broker" in reason(session, study)


def test_study_that_has_just_come_waits_without_a_word(session: Session, study: Study) -> None:
    at = database_time(session)
    analysis_row(session, study, due_at=at, dispatched_at=at)

    assert reason(session, study) == ""


def test_study_behind_a_busy_worker_waits_without_a_word(session: Session, study: Study) -> None:
    now = database_time(session)
    analysis_row(session, study, due_at=now - MINUTE, dispatched_at=now - MINUTE)
    other = study_row(session, "1.2.3")
    analysis_row(session, other, state=AnalysisState.RUNNING, lease_expires_at=now + MINUTE)

    assert reason(session, study) == ""


def test_worker_that_died_does_not_count_as_busy(session: Session, study: Study) -> None:
    now = database_time(session)
    analysis_row(session, study, due_at=now - MINUTE, dispatched_at=now - MINUTE)
    other = study_row(session, "1.2.3")
    analysis_row(session, other, state=AnalysisState.RUNNING, lease_expires_at=now - MINUTE)

    assert "no worker has taken it" in reason(session, study)


def test_analysis_that_is_tried_later_says_when(session: Session, study: Study) -> None:
    later = database_time(session) + MINUTE
    analysis_row(session, study, due_at=later, reason="disk full")

    expected = f"disk full; tried again at {later.isoformat(timespec='seconds')}"
    assert reason(session, study) == expected


def test_delivery_that_waits_says_until_when(session: Session, study: Study) -> None:
    later = database_time(session) + MINUTE
    done = analysis_row(session, study, state=AnalysisState.DONE)
    delivery_row(session, done, due_at=later, reason="no answer")

    expected = f"archive: no answer; tried again at {later.isoformat(timespec='seconds')}"
    assert reason(session, study) == expected


@pytest.mark.parametrize(
    ("late", "reason", "words"),
    [
        (MINUTE, "", "archive: not proven yet: nobody has asked for it, due since "),
        (MINUTE, "not proven yet: no association", "archive: not proven yet: no association"),
        (-MINUTE, "", ""),
    ],
)
def test_accepted_study_that_nobody_asks_for_says_so(
    session: Session, study: Study, late: timedelta, reason: str, words: str
) -> None:
    done = analysis_row(session, study, state=AnalysisState.DONE)
    due_at = database_time(session) - late
    state = DeliveryState.ACCEPTED
    delivery_row(session, done, state=state, reason=reason, proof_due_at=due_at)

    record = reading.study_record(session, study)

    said = record["summary"].reason
    assert said.startswith(words)
    assert bool(said) == bool(words)
    assert said.removeprefix("archive: ") == record["deliveries"][0]["reason"]
