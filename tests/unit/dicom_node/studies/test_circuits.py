"""What waits for a destination that is down waits unchanged, and goes on when it answers."""

from datetime import datetime, timedelta

import pytest
from node_factory import LEASE, NOW, after, analysis_row, claimed, delivery_row, study_row
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_backlog import RecordingBroker, dispatcher_of

from dicom_node.settings.work import RetrySettings
from dicom_node.studies.broker import DELIVER_QUEUE
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.circuits import (
    Circuit,
    CircuitFacts,
    circuit_of,
    circuits,
    give_up_probes,
    note_failure,
    note_probe,
    note_success,
    take_probe,
    tried_since,
    try_now,
)
from dicom_node.studies.ledger.due.work import claim
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Delivery

POLICY = RetrySettings(breaker_failures=3, first_probe_seconds=10, longest_probe_seconds=30)
A_MINUTE = timedelta(minutes=1)
SILENT = "archive does not answer"


def fail(session: Session, times: int = 1, *, reason: str = SILENT) -> list[tuple[Circuit, bool]]:
    return [
        note_failure(session, "archive", reason=reason, policy=POLICY, at=NOW) for _ in range(times)
    ]


def known(session: Session, seconds: float = 0) -> CircuitFacts:
    facts = circuit_of(session, "archive", at=after(seconds))
    assert facts is not None
    return facts


def probe(session: Session, seconds: float, problem: str | None, holder: str = "h:1") -> bool:
    """Take a probe and record its end; return whether it was ours to take."""
    taken = take_probe(session, "archive", holder=holder, longest=A_MINUTE, at=after(seconds))
    if taken:
        note_probe(
            session,
            "archive",
            holder=holder,
            problem=problem,
            policy=POLICY,
            at=after(seconds),
        )
    return taken


def test_circuit_is_opened_by_failures_in_a_row_and_said_once(session: Session) -> None:
    assert fail(session, 5) == [
        (Circuit.CLOSED, True),
        (Circuit.CLOSED, False),
        (Circuit.OPEN, True),
        (Circuit.OPEN, False),  # was under way when the circuit was opened
        (Circuit.OPEN, False),
    ]
    facts = known(session)
    assert (facts.failing_since, facts.probe_at) == (NOW, after(10))


def test_time_of_what_waits_counts_again_when_the_destination_takes_something(
    session: Session,
) -> None:
    def since(begun: float) -> datetime | None:
        return tried_since(session, "archive", after(begun))

    assert since(-9) == after(-9)
    fail(session, 2)
    assert since(-9) == after(-9)
    fail(session)
    assert since(-9) is None
    assert probe(session, 10, None)
    assert since(-9) is None

    note_success(session, "archive", at=after(20))
    assert (since(-9), since(30)) == (after(20), after(30))


def test_success_between_failures_keeps_the_circuit_closed(session: Session) -> None:
    fail(session, 2)
    assert not note_success(session, "archive", at=NOW)

    assert fail(session, 2)[-1][0] is Circuit.CLOSED


def test_breaker_that_is_switched_off_opens_nothing(session: Session) -> None:
    policy = RetrySettings(breaker_failures=0)

    for _ in range(9):
        assert note_failure(session, "archive", reason=SILENT, policy=policy, at=NOW) == (
            Circuit.CLOSED,
            True,
        )
    assert circuits(session, at=NOW) == {}


def test_destination_is_probed_at_growing_intervals(session: Session) -> None:
    fail(session, 3)

    asked = [seconds for seconds in range(120) if probe(session, seconds, "still silent")]

    assert asked == [10, 30, 60, 90]
    assert known(session).reason == "still silent"


def test_failed_delivery_after_an_answered_probe_opens_the_circuit_again(session: Session) -> None:
    fail(session, 3)
    probe(session, 10, None)
    assert known(session).circuit is Circuit.HALF_OPEN

    assert fail(session, reason="it takes nothing: HTTP 401") == [(Circuit.OPEN, True)]
    facts = known(session)
    assert (facts.reason, facts.failing_since) == ("it takes nothing: HTTP 401", NOW)
    assert facts.probe_at == after(20)
    probe(session, 20, None)
    assert fail(session, reason="it takes nothing: HTTP 401") == [(Circuit.OPEN, False)]


def test_taken_delivery_closes_the_circuit_and_forgets_the_failures(session: Session) -> None:
    fail(session, 3)
    probe(session, 10, None)

    assert note_success(session, "archive", at=after(11))
    assert circuits(session, at=after(11)) == {}
    assert not note_success(session, "archive", at=after(12))
    assert fail(session)[-1] == (Circuit.CLOSED, True)


def test_one_worker_probes_and_another_takes_over_where_it_was_killed(session: Session) -> None:
    fail(session, 3)
    assert take_probe(session, "archive", holder="killed", longest=A_MINUTE, at=after(10))

    assert not probe(session, 69, None, holder="second")
    assert probe(session, 70, "still silent", holder="second")
    # The first was suspended and not killed: what it found out is old.
    note_probe(session, "archive", holder="killed", problem=None, policy=POLICY, at=after(71))
    assert known(session).circuit is Circuit.OPEN


def test_worker_that_ends_leaves_its_probe_to_others(session: Session) -> None:
    fail(session, 3)
    take_probe(session, "archive", holder="ends", longest=A_MINUTE, at=after(10))

    give_up_probes(session, "ends")

    assert probe(session, 11, None, holder="second")


def test_operator_has_one_delivery_tried_without_a_probe(session: Session) -> None:
    assert not try_now(session, "archive", at=NOW)
    fail(session, 3)
    take_probe(session, "archive", holder="asks", longest=A_MINUTE, at=after(10))

    assert try_now(session, "archive", at=after(11))
    assert known(session).circuit is Circuit.HALF_OPEN
    note_probe(session, "archive", holder="asks", problem="silent", policy=POLICY, at=after(12))
    assert known(session).circuit is Circuit.HALF_OPEN


@pytest.fixture
def waiting(database: Database) -> Database:
    """Return a ledger with 40 deliveries to a destination that is down, and one to another."""
    with database.writing() as session:
        for number in range(40):
            study = study_row(session, f"1.2.{number}")
            done = analysis_row(session, study, state=AnalysisState.DONE)
            delivery_row(session, done)
        delivery_row(session, done, destination="second")
        fail(session, 3)
    return database


def told(database: Database, seconds: float) -> list[str]:
    broker = RecordingBroker()
    dispatcher_of(database, broker).tick(after(seconds))
    with database.reading() as session:
        rows = session.scalars(
            select(Delivery).where(Delivery.id.in_(broker.queues[DELIVER_QUEUE]))
        )
        return sorted(row.destination for row in rows)


def test_nothing_is_sent_to_a_destination_that_is_down_and_one_delivery_once_it_answers(
    waiting: Database,
) -> None:
    assert told(waiting, 1) == ["second"]
    assert told(waiting, 10) == ["archive"]  # lets a worker ask it
    assert told(waiting, 11) == []
    with waiting.writing() as session:
        (lure,) = session.scalars(
            select(Delivery).where(
                Delivery.dispatched_at.is_not(None), Delivery.destination == "archive"
            )
        )
        assert claim(session, Delivery, lure.id, holder="h", lease=LEASE, at=after(12)) is None
        assert probe(session, 12, None)
    with waiting.writing() as session:
        claimed(session, session.get_one(Delivery, lure.id), at=after(13))
        other = session.scalars(select(Delivery).where(Delivery.dispatched_at.is_(None))).first()
        assert other is not None
        assert claim(session, Delivery, other.id, holder="i", lease=LEASE, at=after(13)) is None
    assert told(waiting, 14) == []
    with waiting.writing() as session:
        note_success(session, "archive", at=after(15))
    assert len(told(waiting, 16)) > 1


def test_what_waits_is_left_as_it_is_however_long_its_destination_is_down(
    waiting: Database,
) -> None:
    def rows() -> list[tuple[object, ...]]:
        with waiting.reading() as session:
            return [
                (row.state, row.attempts, row.version, row.due_at, row.reason)
                for row in session.scalars(select(Delivery).order_by(Delivery.id))
            ]

    before = rows()
    for days in range(1, 30):
        told(waiting, days * 86400)
        with waiting.writing() as session:
            assert probe(session, days * 86400, "still silent")

    assert rows() == before


def test_words_say_since_when_why_and_what_to_do(session: Session) -> None:
    fail(session, 3)

    words = known(session).in_words()

    assert words == (
        f"destination archive is down since {NOW.isoformat(timespec='seconds')}: archive does not "
        f"answer. It is asked again at {after(10).isoformat(timespec='seconds')}, and what waits "
        "for it is sent when it answers; at once: mammoclip-node retry --destination archive"
    )
