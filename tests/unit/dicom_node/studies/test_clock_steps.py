"""A clock that steps keeps nothing waiting until it has caught up, and ends no lease."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from node_factory import (
    LEASE,
    NOW,
    after,
    analysis_row,
    claimed,
    delivery_row,
    finished,
    made_result,
    study_row,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.clock_steps import ClockSteps
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger.canary_runs import CanaryFacts, note_run
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due import future_stamps, outcomes, work
from dicom_node.studies.ledger.proof.archive_requests import asked_about, open_request
from dicom_node.studies.ledger.proof.proofs import ProofClaim, begin_proof, is_time_to_send_again
from dicom_node.studies.ledger.site_tables import CanaryRun, CanaryTurn, KnownWorker
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study
from dicom_node.studies.settling import Patience, next_quiet, quiet_studies

HOUR = timedelta(hours=1)
PATIENCE = Patience(idle=timedelta(seconds=60), grace=timedelta(seconds=5))


class Clock:
    """A clock that a test sets back or forward, and the time that passes meanwhile."""

    def __init__(self) -> None:
        self.at, self.passed = NOW, 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.passed

    def passes(self, seconds: float) -> None:
        self.at, self.passed = self.at + timedelta(seconds=seconds), self.passed + seconds

    def steps(self, by: timedelta) -> None:
        self.passes(1)
        self.at += by


class NoBroker:
    """Takes every message."""

    def notify(self, task: str, queue: str, ids: list[int]) -> None:
        del task, queue, ids

    def waiting(self, queue: str) -> int:
        del queue
        return 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def steps_of(database: Database, clock: Clock) -> Callable[[], ClockSteps]:
    """Return what makes the look of a node that starts."""

    def build() -> ClockSteps:
        return ClockSteps(
            database,
            lease=LEASE,
            longest_wait=timedelta(minutes=20),
            clock=clock.now,
            monotonic=clock.monotonic,
        )

    return build


@pytest.fixture
def tick(database: Database, clock: Clock, steps_of: Callable[[], ClockSteps]) -> Any:
    """Return the tick of a node that has been running since before anything was stamped."""
    dispatcher = Dispatcher(
        database,
        NoBroker(),  # type: ignore[arg-type]  # the two methods are all that is used
        redispatch_after=timedelta(seconds=30),
        maximum_attempts=3,
        clock=clock.now,
        clock_steps=steps_of(),
    )

    def once() -> None:
        dispatcher.tick(clock.at)

    once()
    return once


def one(database: Database, table: type[Any]) -> Any:
    with database.reading() as session:
        return session.scalars(select(table)).one()


def test_open_study_settles_after_its_quiet_time_when_the_clock_stepped_back(
    database: Database, clock: Clock, tick: Any
) -> None:
    with database.writing() as session:
        study_row(session, state=StudyState.OPEN, last_received_at=clock.at)
    clock.steps(-HOUR)
    tick()

    with database.reading() as session:
        assert next_quiet(session, patience=PATIENCE, at=clock.at) == clock.at + PATIENCE.grace
        clock.passes(5)
        assert len(quiet_studies(session, patience=PATIENCE, at=clock.at)) == 1


@pytest.mark.parametrize("wait_seconds", [0, 300])
def test_due_work_is_claimed_at_once_when_the_clock_stepped_back(
    database: Database, clock: Clock, tick: Any, wait_seconds: float
) -> None:
    with database.writing() as session:
        study = study_row(session)
        analysis = analysis_row(session, study, due_at=after(wait_seconds))
        done = analysis_row(session, study, revision=2, state=AnalysisState.DONE)
        delivery = delivery_row(session, done, due_at=after(wait_seconds))
    clock.steps(-HOUR)
    tick()

    for row in (analysis, delivery):
        with database.writing() as session:
            assert work.claim(session, type(row), row.id, holder="h", lease=LEASE, at=clock.at), (
                type(row)
            )


def test_message_lost_before_the_clock_stepped_back_is_sent_again(
    database: Database, clock: Clock, tick: Any
) -> None:
    with database.writing() as session:
        analysis_row(session, study_row(session), dispatched_at=NOW)
    clock.steps(-HOUR)
    tick()

    assert one(database, Analysis).dispatched_at == clock.at


@pytest.mark.parametrize("hours", [-30, 1])
def test_living_worker_keeps_its_lease_over_a_step_of_the_clock(
    database: Database, clock: Clock, tick: Any, hours: float
) -> None:
    with database.writing() as session:
        held = claimed(session, analysis_row(session, study_row(session)), at=clock.at)
    clock.steps(timedelta(hours=hours))
    tick()
    clock.passes(LEASE.total_seconds() - 1)
    tick()

    row = one(database, Analysis)
    assert (row.state, row.version) == (AnalysisState.RUNNING, held.version)


@pytest.mark.parametrize("hours", [-1, 1])
def test_dead_worker_loses_its_lease_in_time_whatever_the_clock_did(
    database: Database, clock: Clock, tick: Any, hours: float
) -> None:
    with database.writing() as session:
        claimed(session, analysis_row(session, study_row(session)), at=clock.at)
    clock.steps(timedelta(hours=hours))
    tick()
    clock.passes(LEASE.total_seconds() + 1)
    tick()

    assert one(database, Analysis).state is AnalysisState.DUE


def test_dead_worker_counts_as_silent_when_the_clock_stepped_back(
    database: Database, clock: Clock, tick: Any
) -> None:
    with database.writing() as session:
        worker = {"identity": "1" * 32, "name": "gpu@host", "queues": "gpu", "version": "1"}
        session.add(KnownWorker(**worker, processes=1, started_at=NOW, seen_at=clock.at))
    clock.steps(-HOUR)
    tick()

    assert one(database, KnownWorker).seen_at <= clock.at


def test_canary_study_is_due_again_in_its_time_when_the_clock_stepped_back(
    database: Database, clock: Clock, tick: Any
) -> None:
    with database.writing() as session:
        run = CanaryFacts(began_at=clock.at, seconds={}, broken="", reason="")
        note_run(session, run, key="", scores="")
        session.add(CanaryTurn(id=1, spool="1" * 32, held_until=clock.at + HOUR))
    clock.steps(-HOUR)
    tick()

    assert one(database, CanaryRun).began_at == clock.at
    assert one(database, CanaryTurn).held_until == clock.at


def asked_for_commitment(database: Database, at: datetime) -> ProofClaim:
    """Have a delivery accepted, and storage commitment asked for what it sent."""
    with database.writing() as session:
        (delivery,) = finished(session, analysis_row(session, study_row(session)), made_result())
        held = claimed(session, delivery, at=delivery.due_at)
        outcomes.finish_delivery(session, held, at=at, is_proof_wanted=True)
        return asked_again_for_commitment(session, delivery.id, "1.2.3", at)


def asked_again_for_commitment(
    session: Session, delivery_id: int, uid: str, at: datetime
) -> ProofClaim:
    held = begin_proof(session, delivery_id, at=at, until=at + HOUR)
    assert held is not None
    open_request(session, held, uid, at=at, expires_at=at + HOUR)
    return held


def test_report_on_what_was_asked_after_the_clock_stepped_back_is_heeded(
    database: Database, clock: Clock, tick: Any
) -> None:
    held = asked_for_commitment(database, clock.at)
    clock.steps(timedelta(days=-30))
    tick()
    clock.passes(1)
    with database.writing() as session:
        again = asked_again_for_commitment(session, held.delivery_id, "1.2.4", clock.at)

    with database.reading() as session:
        for uid in ("1.2.3", "1.2.4"):  # nothing was sent since the first one either
            found = asked_about(session, uid, ["archive"])
            assert found is not None
            assert found[0] is not None, uid
    # The archive has its time from now on.
    late = clock.at + HOUR
    assert is_time_to_send_again(again, within_seconds=3600, at=late)


def test_node_that_starts_later_heeds_the_report_too(
    database: Database, clock: Clock, steps_of: Callable[[], ClockSteps]
) -> None:
    held = asked_for_commitment(database, clock.at)
    clock.at -= timedelta(days=30)
    steps_of().look()

    with database.writing() as session:
        session.get_one(Delivery, held.delivery_id).proof_due_at = clock.at
        asked_again_for_commitment(session, held.delivery_id, "1.2.4", clock.at)
        found = asked_about(session, "1.2.4", ["archive"])
        assert found is not None
        assert found[0] is not None


@pytest.mark.parametrize(("step", "waits"), [(timedelta(days=8), True), (HOUR / 2, False)])
def test_delivery_that_waits_has_its_whole_time_again_after_a_leap_of_the_clock(
    database: Database, clock: Clock, tick: Any, step: timedelta, waits: bool
) -> None:
    with database.writing() as session:
        done = analysis_row(session, study_row(session), state=AnalysisState.DONE)
        delivery_row(session, done, due_at=clock.at)
        delivery_row(
            session, done, destination="second", state=DeliveryState.ACCEPTED, created_at=NOW
        )
    clock.steps(step)
    tick()

    with database.reading() as session:
        waiting, ended = session.scalars(select(Delivery).order_by(Delivery.id))
    assert waiting.created_at == (clock.at if waits else NOW)
    assert ended.created_at == NOW


def test_delivery_of_a_worker_that_was_killed_is_not_given_up_by_a_leap(
    database: Database, clock: Clock, tick: Any
) -> None:
    with database.writing() as session:
        done = analysis_row(session, study_row(session), state=AnalysisState.DONE)
        claimed(session, delivery_row(session, done), at=clock.at)
    clock.steps(timedelta(days=8))
    tick()
    clock.passes(LEASE.total_seconds() + 1)
    tick()

    assert one(database, Delivery).state is DeliveryState.DUE


def test_step_is_one_line_of_the_log(
    database: Database, clock: Clock, tick: Any, log_lines: list[Any]
) -> None:
    with database.writing() as session:
        study_row(session, state=StudyState.OPEN, last_received_at=clock.at)
    clock.passes(1)
    tick()
    clock.steps(-HOUR)
    for _ in range(4):
        tick()
        clock.passes(45)

    (line,) = log_lines
    assert (line["event"], line["seconds"], line["count"]) == ("clock_stepped", -3600, 1)


def test_clock_that_drifts_or_a_ledger_that_answers_late_is_no_step(
    database: Database, clock: Clock, tick: Any, log_lines: list[Any], steps_of: Any
) -> None:
    with database.writing() as session:
        analysis_row(session, study_row(session), due_at=after(300), attempts=1)

    def late() -> datetime:
        at = clock.at
        clock.passes(40)
        return at

    for _ in range(3):
        clock.at += timedelta(seconds=4)
        tick()
    steps = steps_of()
    steps.look()
    steps._clock = late
    for _ in range(2):
        steps.look()

    assert log_lines == []
    assert one(database, Analysis).due_at == after(300)


def test_backlog_is_brought_down_in_portions(
    database: Database, clock: Clock, tick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.studies.clock_steps.PORTION", 2)
    monkeypatch.setattr(future_stamps, "PORTION", 2)
    with database.writing() as session:
        for number in range(5):
            study_row(session, f"1.2.{number}", state=StudyState.OPEN, last_received_at=clock.at)
    clock.steps(-HOUR)
    tick()

    with database.reading() as session:
        assert set(session.scalars(select(Study.last_received_at))) == {clock.at}


def test_node_that_starts_after_the_clock_was_put_back_brings_down_what_no_wait_explains(
    database: Database, clock: Clock, steps_of: Callable[[], ClockSteps], log_lines: list[Any]
) -> None:
    with database.writing() as session:
        study = study_row(session, state=StudyState.OPEN, last_received_at=clock.at)
        claimed(session, analysis_row(session, study), at=clock.at)
        done = analysis_row(session, study, revision=2, state=AnalysisState.DONE)
        delivery_row(session, done)
    clock.at -= HOUR
    steps_of().look()

    assert one(database, Study).last_received_at == clock.at
    assert one(database, Delivery).due_at == clock.at
    with database.reading() as session:
        leases = select(Analysis.lease_expires_at).where(Analysis.state == AnalysisState.RUNNING)
        assert session.scalars(leases).all() == [clock.at + LEASE]
    assert [line["event"] for line in log_lines] == ["stamps_in_the_future"]


def test_node_that_starts_leaves_lawful_waits_as_they_are(
    database: Database, clock: Clock, steps_of: Callable[[], ClockSteps], log_lines: list[Any]
) -> None:
    with database.writing() as session:
        done = analysis_row(session, study_row(session), state=AnalysisState.DONE)
        delivery_row(session, done, due_at=clock.at + timedelta(minutes=15), attempts=9)
    steps_of().look()

    assert one(database, Delivery).due_at == after(15 * 60)
    assert log_lines == []
