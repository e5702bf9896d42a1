"""A study at which workers die fails only after test images: else the worker may be at fault."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from node_factory import NOW, after, analysis_row, claimed, finished, history, study_row
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.due import work
from dicom_node.studies.ledger.due.doubt import note_tested, wants_test
from dicom_node.studies.ledger.due.outcomes import give_up_analysis
from dicom_node.studies.ledger.states import AnalysisState, Event
from dicom_node.studies.ledger.tables import Analysis
from dicom_node.studies.ledger.transitions import apply

ATTEMPTS = 3


@pytest.fixture
def deadly(session: Session) -> Analysis:
    return analysis_row(session, study_row(session))


@pytest.fixture
def times() -> Iterator[int]:
    """Return the seconds at which attempts begin, far enough apart for any wait."""
    return iter(range(0, 100_000, 1000))


def die(
    session: Session, row: Analysis, times: Iterator[int], attempts: int = ATTEMPTS, *, sound: bool
) -> None:
    """Lose the lease of some attempts, of which an analysis may have three.

    Parameters
    ----------
    sound : whether workers get through the test images before they die
    """
    for _ in range(attempts):
        at = next(times)
        held = claimed(session, row, at=after(at))
        wanted = wants_test(session, row.id, attempt=held.attempt, maximum_attempts=ATTEMPTS)
        if sound and wanted:
            note_tested(session, row, "host:1 analysed test images", at=after(at))
        work.recover_lost(session, Analysis, maximum_attempts=ATTEMPTS, at=after(at + 50))


def test_study_at_which_a_sound_worker_dies_fails_though_it_is_the_only_one(
    session: Session, deadly: Analysis, times: Iterator[int]
) -> None:
    die(session, deadly, times, sound=True)

    assert (deadly.state, deadly.attempts) == (AnalysisState.FAILED, ATTEMPTS)
    assert list(history(session, "analysis"))[-2:] == [
        ("running", "worker_tested", "running"),
        ("running", "fail", "failed"),
    ]


def test_study_is_put_off_where_the_worker_gets_through_no_test_images(
    session: Session, deadly: Analysis, times: Iterator[int]
) -> None:
    die(session, deadly, times, sound=False)

    assert (deadly.state, deadly.attempts) == (AnalysisState.DUE, 2)
    assert deadly.reason == (
        "worker host:1 stopped responding in attempt 3; the worker itself may be at fault: it got "
        "through no test images before; tried again, after test images, at "
        f"{deadly.due_at.isoformat()}"
    )
    finished(session, analysis_row(session, study_row(session, "1.2.9")), to=())  # by a sound one
    die(session, deadly, times, attempts=9, sound=False)
    assert deadly.state is AnalysisState.DUE


def test_study_that_was_put_off_fails_in_a_sound_worker(
    session: Session, deadly: Analysis, times: Iterator[int]
) -> None:
    die(session, deadly, times, attempts=5, sound=False)

    die(session, deadly, times, attempts=1, sound=True)

    assert deadly.state is AnalysisState.FAILED


def test_test_of_a_former_attempt_proves_nothing(
    session: Session, deadly: Analysis, times: Iterator[int]
) -> None:
    die(session, deadly, times, attempts=2, sound=False)
    held = claimed(session, deadly, at=after(next(times)))
    note_tested(session, deadly, "host:1 analysed test images", at=NOW)
    apply(session, deadly, Event.GIVE_BACK, at=NOW, attempts=held.attempt - 1, due_at=NOW)

    die(session, deadly, times, attempts=1, sound=False)

    assert deadly.state is AnalysisState.DUE


def test_claim_stays_valid_when_its_worker_was_tested(session: Session, deadly: Analysis) -> None:
    held = claimed(session, deadly)

    note_tested(session, deadly, "host:1 analysed test images", at=NOW)

    assert work.renew(session, Analysis, held, until=after(60))


def test_waits_grow_to_ten_minutes(session: Session, deadly: Analysis) -> None:
    waits = []
    at = NOW
    for _ in range(6):
        claimed(session, deadly, at=at)
        at += timedelta(seconds=50)
        work.recover_lost(session, Analysis, maximum_attempts=1, at=at)
        waits.append((deadly.due_at - at).total_seconds())
        at = deadly.due_at

    assert waits == [50, 150, 350, 600, 600, 600]


def test_retry_of_a_person_begins_anew(
    session: Session, deadly: Analysis, times: Iterator[int]
) -> None:
    die(session, deadly, times, sound=True)
    apply(session, deadly, Event.RETRY, at=NOW, attempts=0, due_at=NOW)

    held = claimed(session, deadly)

    assert not wants_test(session, deadly.id, attempt=held.attempt, maximum_attempts=1)


@pytest.mark.parametrize("maximum", [1, 3])
def test_worker_is_tested_before_the_last_attempt_but_never_before_the_first(
    session: Session, deadly: Analysis, maximum: int
) -> None:
    wanted = []
    for attempt in range(4):
        held = claimed(session, deadly, at=after(1000 * attempt))
        wanted.append(
            wants_test(session, deadly.id, attempt=held.attempt, maximum_attempts=maximum)
        )
        work.recover_lost(
            session, Analysis, maximum_attempts=maximum, at=after(1000 * attempt + 50)
        )

    assert wanted == [False, maximum == 1, True, True]


def test_worker_that_allows_more_attempts_than_its_node_is_tested_in_the_end(
    session: Session, deadly: Analysis
) -> None:
    """The node puts off what the worker would never take for the last attempt."""
    wanted = []
    for number in range(16):
        held = claimed(session, deadly, at=after(1000 * number))
        wanted.append(wants_test(session, deadly.id, attempt=held.attempt, maximum_attempts=4))
        work.recover_lost(session, Analysis, maximum_attempts=2, at=after(1000 * number + 50))

    assert wanted == [False] * 14 + [True] * 2


@pytest.mark.parametrize("sound", [False, True])
def test_worker_that_ends_an_attempt_asks_the_same(
    session: Session, deadly: Analysis, sound: bool
) -> None:
    held = claimed(session, deadly)
    if sound:
        note_tested(session, deadly, "host:1 analysed test images", at=NOW)

    doubted = give_up_analysis(session, held, reason="it hung", at=after(60))

    if sound:
        assert (deadly.state, deadly.reason, doubted) == (AnalysisState.FAILED, "it hung", "")
    else:
        assert (deadly.state, deadly.attempts) == (AnalysisState.DUE, 0)
        assert deadly.reason == doubted
        assert "it hung; the worker itself may be at fault" in doubted
