from datetime import timedelta
from typing import Any

import pytest
from node_factory import (
    LEASE,
    NOW,
    after,
    analysis_row,
    claimed,
    delivery_row,
    history,
    study_row,
)
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.destinations.circuits import note_failure
from dicom_node.studies.ledger.due import due_work, work
from dicom_node.studies.ledger.due.doubt import note_tested
from dicom_node.studies.ledger.due.outcomes import give_back_analysis
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, Event
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.ledger.transitions import apply

TABLES = [Analysis, Delivery]
BUSY = {Analysis: AnalysisState.RUNNING, Delivery: DeliveryState.SENDING}


@pytest.fixture
def work_of(session: Session) -> Any:
    """Enter a piece of due work of either kind."""
    analyses: list[Analysis] = []

    def build(table: type[Any], **columns: Any) -> Any:
        if table is Analysis:
            study = study_row(session, f"1.2.{len(analyses)}")
            analyses.append(analysis_row(session, study, **columns))
            return analyses[-1]
        study = study_row(session, f"1.2.{len(analyses)}")
        analyses.append(analysis_row(session, study, state=AnalysisState.DONE))
        return delivery_row(session, analyses[-1], **columns)

    return build


@pytest.mark.parametrize("table", TABLES)
def test_due_work_is_claimed_once(session: Session, work_of: Any, table: type[Any]) -> None:
    row = work_of(table)
    claimed(session, row)

    again = work.claim(session, table, row.id, holder="host:2", lease=LEASE, at=NOW)

    assert again is None
    assert row.lease_holder == "host:1"


@pytest.mark.parametrize("table", TABLES)
def test_claim_is_a_lease(session: Session, work_of: Any, table: type[Any]) -> None:
    row = work_of(table)

    held = claimed(session, row)

    assert (row.state, row.lease_expires_at) == (BUSY[table], NOW + LEASE)
    assert (held.attempt, held.version, held.holder) == (1, row.version, "host:1")


@pytest.mark.parametrize("table", TABLES)
def test_work_that_is_not_due_yet_is_not_claimed(
    session: Session, work_of: Any, table: type[Any]
) -> None:
    row = work_of(table, due_at=after(1))

    assert work.claim(session, table, row.id, holder="h", lease=LEASE, at=NOW) is None
    assert row.attempts == 0


@pytest.mark.parametrize("table", TABLES)
def test_work_that_the_ledger_does_not_know_is_not_claimed(
    session: Session, table: type[Any]
) -> None:
    assert work.claim(session, table, 4711, holder="h", lease=LEASE, at=NOW) is None


@pytest.mark.parametrize("state", [one for one in AnalysisState if one is not AnalysisState.DUE])
def test_analysis_that_is_not_due_is_not_claimed(
    session: Session, work_of: Any, state: AnalysisState
) -> None:
    row = work_of(Analysis, state=state)

    assert work.claim(session, Analysis, row.id, holder="h", lease=LEASE, at=NOW) is None


@pytest.mark.parametrize("state", [one for one in DeliveryState if one is not DeliveryState.DUE])
def test_delivery_that_is_not_due_is_not_claimed(
    session: Session, work_of: Any, state: DeliveryState
) -> None:
    row = work_of(Delivery, state=state)

    assert work.claim(session, Delivery, row.id, holder="h", lease=LEASE, at=NOW) is None


@pytest.mark.parametrize("table", TABLES)
def test_heartbeat_extends_the_lease(session: Session, work_of: Any, table: type[Any]) -> None:
    row = work_of(table)
    held = claimed(session, row)

    renewed = work.renew(session, table, held, until=after(500))

    session.refresh(row)
    assert renewed
    assert (row.lease_expires_at, row.version) == (after(500), held.version)


@pytest.mark.parametrize("table", TABLES)
def test_heartbeat_of_a_lost_lease_changes_nothing(
    session: Session, work_of: Any, table: type[Any]
) -> None:
    row = work_of(table)
    held = claimed(session, row)
    work.recover_lost(session, table, maximum_attempts=9, at=after(41))

    assert not work.renew(session, table, held, until=after(500))
    assert not [one for one in due_work.due(session, table, at=after(41)) if one.id != row.id]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("seconds", "lost"), [(40, False), (40.001, True)])
def test_lease_is_lost_after_its_time(
    session: Session, work_of: Any, table: type[Any], seconds: float, lost: bool
) -> None:
    row = work_of(table)
    claimed(session, row)

    found = work.recover_lost(session, table, maximum_attempts=9, at=after(seconds))

    assert found == ([row] if lost else [])
    assert (row.state is BUSY[table]) is not lost


@pytest.mark.parametrize("table", TABLES)
def test_lost_work_is_due_at_once(session: Session, work_of: Any, table: type[Any]) -> None:
    row = work_of(table, dispatched_at=NOW)
    claimed(session, row)

    work.recover_lost(session, table, maximum_attempts=9, at=after(41))

    assert (row.state.value, row.due_at, row.dispatched_at) == ("due", after(41), None)
    assert row.attempts == 1


@pytest.mark.parametrize("table", TABLES)
def test_renewed_lease_is_not_lost(session: Session, work_of: Any, table: type[Any]) -> None:
    held = claimed(session, work_of(table))
    work.renew(session, table, held, until=after(60))

    assert work.recover_lost(session, table, maximum_attempts=9, at=after(59)) == []


def test_analysis_that_loses_every_lease_ends_as_failed_with_its_reason(
    session: Session, work_of: Any
) -> None:
    row = work_of(Analysis)
    for attempt in range(3):
        claimed(session, row, at=after(100 * attempt))
        note_tested(session, row, "host:1 analysed test images", at=NOW)
        work.recover_lost(session, Analysis, maximum_attempts=3, at=after(100 * attempt + 50))

    assert row.state is AnalysisState.FAILED
    assert row.reason == "given up after 3 attempts: worker host:1 stopped responding in attempt 3"
    assert row.finished_at == after(250)


def test_delivery_that_kills_its_workers_until_its_time_is_over_expires(
    session: Session, work_of: Any
) -> None:
    row = work_of(Delivery)
    for attempt in range(3):
        claimed(session, row, at=after(100 * attempt))
        work.recover_lost(
            session,
            Delivery,
            maximum_attempts=9,
            expire_after=timedelta(seconds=200),
            at=after(100 * attempt + 50),
        )

    assert row.state is DeliveryState.EXPIRED
    assert row.reason == "worker host:1 stopped responding in attempt 3"


def test_delivery_that_loses_its_worker_does_not_expire_while_its_destination_is_down(
    session: Session, work_of: Any
) -> None:
    row = work_of(Delivery)
    claimed(session, row)
    policy = RetrySettings(breaker_failures=1)
    note_failure(session, row.destination, reason="it is full", policy=policy, at=NOW)

    work.recover_lost(
        session, Delivery, maximum_attempts=9, expire_after=timedelta(seconds=1), at=after(50)
    )

    assert row.state is DeliveryState.DUE


def test_every_lost_lease_is_in_the_history(session: Session, work_of: Any) -> None:
    row = work_of(Analysis)
    claimed(session, row)
    work.recover_lost(session, Analysis, maximum_attempts=9, at=after(50))

    assert list(history(session, "analysis")) == [
        ("due", "claim", "running"),
        ("running", "lease_lost", "due"),
    ]


@pytest.mark.parametrize("table", TABLES)
def test_claim_stands_while_nobody_moved_the_work(
    session: Session, work_of: Any, table: type[Any]
) -> None:
    row = work_of(table)
    held = claimed(session, row)

    assert work.held_row(session, table, held) is row


def test_claim_on_a_cancelled_analysis_stands_no_more(session: Session, work_of: Any) -> None:
    row = work_of(Analysis)
    held = claimed(session, row)
    apply(session, row, Event.CANCEL, at=NOW)

    with pytest.raises(OvertakenError):
        work.held_row(session, Analysis, held)


def test_work_given_back_waits(session: Session, work_of: Any) -> None:
    row = work_of(Analysis, dispatched_at=NOW)
    held = claimed(session, row)

    give_back_analysis(session, held, reason="no memory", due_at=after(20), at=after(3))

    assert (row.state, row.due_at, row.dispatched_at) == (AnalysisState.DUE, after(20), None)
    assert (row.reason, row.attempts) == ("no memory", 1)
    assert due_work.due(session, Analysis, at=after(19)) == []


@pytest.mark.parametrize("table", TABLES)
def test_due_work_is_listed_newest_first(session: Session, work_of: Any, table: type[Any]) -> None:
    later = work_of(table, due_at=after(2))
    sooner = work_of(table, due_at=after(1))
    work_of(table, due_at=after(10))

    assert due_work.due(session, table, at=after(5)) == [later, sooner]


@pytest.mark.parametrize("table", TABLES)
def test_work_that_was_never_tried_comes_before_what_failed(
    session: Session, work_of: Any, table: type[Any]
) -> None:
    failed = work_of(table, due_at=after(2), attempts=1)
    new = work_of(table, due_at=after(1))

    assert due_work.due(session, table, at=after(5)) == [new, failed]
    assert due_work.due(session, table, at=after(5), limit=1) == [new]


def test_dispatch_is_noted_for_the_named_work_only(session: Session, work_of: Any) -> None:
    told, other = work_of(Delivery), work_of(Delivery)

    due_work.note_dispatched(session, Delivery, [told], at=after(7))

    session.refresh(told)
    session.refresh(other)
    assert (told.dispatched_at, other.dispatched_at) == (after(7), None)


def test_highest_row_number_that_a_message_may_name_is_looked_up_in_every_database(
    session: Session,
) -> None:
    highest = 2**31 - 1

    assert work.claim(session, Analysis, highest, holder="w", lease=LEASE, at=after(0)) is None
