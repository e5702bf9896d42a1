"""A study at which workers die fails only if others got through: else the worker is at fault."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from node_factory import NOW, after, analysis_row, claimed, finished, study_row
from sqlalchemy import insert
from sqlalchemy.orm import Session
from statement_costs import counted

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due import doubt, work
from dicom_node.studies.ledger.due.outcomes import give_up_analysis
from dicom_node.studies.ledger.states import AnalysisState, Event
from dicom_node.studies.ledger.tables import Analysis, Transition
from dicom_node.studies.ledger.transitions import apply

LONG_AGO = 30_000


@pytest.fixture
def deadly(session: Session) -> Analysis:
    return analysis_row(session, study_row(session))


@pytest.fixture
def times() -> Iterator[int]:
    """Return the seconds at which attempts begin, far enough apart for any wait."""
    return iter(range(0, 100_000, 1000))


def die(session: Session, row: Analysis, times: Iterator[int], attempts: int = 3) -> None:
    """Lose the lease of some attempts, of which an analysis may have three."""
    for _ in range(attempts):
        at = next(times)
        claimed(session, row, at=after(at))
        work.recover_lost(session, Analysis, maximum_attempts=3, at=after(at + 50))


def another_gets_through(session: Session) -> None:
    finished(session, analysis_row(session, study_row(session, "1.2.9")), to=())


def test_study_that_dies_while_no_other_gets_through_is_put_off(
    session: Session, deadly: Analysis, times: Iterator[int]
) -> None:
    another_gets_through(session)  # before its first attempt: that proves nothing

    die(session, deadly, times)

    assert (deadly.state, deadly.attempts) == (AnalysisState.DUE, 2)
    assert deadly.reason == (
        "worker host:1 stopped responding in attempt 3; no other study was analysed since: the "
        f"worker itself may be at fault; tried again at {deadly.due_at.isoformat()}"
    )
    die(session, deadly, times, attempts=9)
    assert deadly.state is AnalysisState.DUE


def test_study_that_dies_fails_at_its_next_attempt_once_another_got_through(
    session: Session, deadly: Analysis, times: Iterator[int]
) -> None:
    die(session, deadly, times, attempts=5)
    another_gets_through(session)

    die(session, deadly, times, attempts=1)

    assert deadly.state is AnalysisState.FAILED


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
    die(session, deadly, times, attempts=1)
    another_gets_through(session)
    die(session, deadly, times, attempts=2)
    apply(session, deadly, Event.RETRY, at=NOW, attempts=0, due_at=NOW)

    die(session, deadly, times)

    assert deadly.state is AnalysisState.DUE


@pytest.mark.parametrize("others", [False, True])
def test_worker_that_ends_an_attempt_asks_the_same(
    session: Session, deadly: Analysis, others: bool
) -> None:
    held = claimed(session, deadly)
    if others:
        another_gets_through(session)

    doubted = give_up_analysis(session, held, reason="it hung", at=after(60))

    if others:
        assert (deadly.state, deadly.reason, doubted) == (AnalysisState.FAILED, "it hung", "")
    else:
        assert (deadly.state, deadly.attempts) == (AnalysisState.DUE, 0)
        assert deadly.reason == doubted
        assert "it hung; no other study was analysed since" in doubted


def test_little_of_the_history_is_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubt, "LOOKED_BACK", 100)
    rows = [
        {
            "subject": "analysis",
            "subject_id": 1000 + number,
            "event": event,
            "before": "",
            "after": "",
            "reason": "",
            "at": NOW,
        }
        for number in range(LONG_AGO // 2)
        for event in ("claim", "lease_lost")
    ]
    with database.writing() as session:
        session.execute(insert(Transition), rows[: LONG_AGO // 2])
        row = analysis_row(session, study_row(session))
        held = claimed(session, row)
        session.execute(insert(Transition), rows[LONG_AGO // 2 :])

    with counted(database) as cost, database.writing() as session:
        assert give_up_analysis(session, held, reason="it hung", at=NOW)

    assert cost.rows < 2000, str(cost)
