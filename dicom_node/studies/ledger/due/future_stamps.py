"""Stamps that a clock which went wrong has left in the future, and times that it ended early."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, literal_column, select, true, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicom_node.studies.ledger.due.due_work import DUE
from dicom_node.studies.ledger.due.work import BUSY
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.monitoring.tables import Alert
from dicom_node.studies.ledger.procedure_steps.tables import Workitem
from dicom_node.studies.ledger.site_tables import (
    CanaryRun,
    CanaryTurn,
    Commitment,
    CommitmentRequest,
    DestinationState,
    KnownSpool,
    KnownWorker,
    ShadowAnalysis,
)
from dicom_node.studies.ledger.spools import HELD_FOR
from dicom_node.studies.ledger.states import WAITING, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

PORTION: Final = 500
"""Rows that one transaction changes at most: nobody waits for a whole backlog."""

_ALERT_IS_TOLD_WITHIN: Final = timedelta(minutes=2)
_NOW: Final = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """A column of times, those of its rows that count, and how far ahead they may lie.

    Attributes
    ----------
    wait : how far ahead of the clock it is written; 0 where that differs
    """

    column: InstrumentedAttribute[Any]
    rows: ColumnElement[bool]
    wait: timedelta = _NOW


def came_at() -> Iterator[Stamp]:
    """Yield the stamps of what has happened, which never lie in the future."""
    yield Stamp(column=Study.last_received_at, rows=in_states(Study, StudyState.OPEN))
    for table in (Analysis, Delivery):
        rows = in_states(table, DUE[table]) & table.dispatched_at.is_not(None)
        yield Stamp(column=table.dispatched_at, rows=rows)
    yield Stamp(column=ShadowAnalysis.dispatched_at, rows=_is_open(ShadowAnalysis.state))
    yield Stamp(column=KnownWorker.seen_at, rows=KnownWorker.ended_at.is_(None))
    yield Stamp(column=CanaryRun.began_at, rows=true())
    # Since when it was accepted an archive has its time to show it, and what was asked before
    # proves nothing.
    is_asked = Delivery.proof_due_at.is_not(None)
    yield Stamp(column=Delivery.finished_at, rows=is_asked)
    is_open = CommitmentRequest.ended_at.is_(None) & CommitmentRequest.delivery_id.in_(
        select(Delivery.id).where(is_asked)
    )
    yield Stamp(column=CommitmentRequest.asked_at, rows=is_open)


def due_at() -> Iterator[Stamp]:
    """Yield the stamps of what is to be done or asked later, after a failure mostly."""
    for table in (Analysis, Delivery):
        rows = in_states(table, DUE[table])
        # Apart, as the indexes of due work are: else all that ever was would be read.
        yield Stamp(column=table.due_at, rows=rows & table.dispatched_at.is_(None))
        yield Stamp(column=table.due_at, rows=rows & table.dispatched_at.is_not(None))
    yield Stamp(column=ShadowAnalysis.due_at, rows=_is_open(ShadowAnalysis.state))


def asked_at() -> Iterator[Stamp]:
    """Yield the stamps of further work, whose waits are as long as their settings say."""
    yield Stamp(column=Delivery.proof_due_at, rows=Delivery.proof_due_at.is_not(None))
    yield Stamp(column=DestinationState.probe_at, rows=DestinationState.probe_at.is_not(None))
    expiring = DestinationState.probe_expires_at
    yield Stamp(column=expiring, rows=expiring.is_not(None))
    yield Stamp(column=Commitment.due_at, rows=Commitment.reported_at.is_(None))
    yield Stamp(column=CanaryTurn.held_until, rows=true())
    yield Stamp(column=Workitem.due_at, rows=Workitem.ended_at.is_(None))
    # Until then whoever has taken it tells it: it must not be told twice.
    yield Stamp(column=Alert.due_at, rows=Alert.sent_at.is_(None), wait=_ALERT_IS_TOLD_WITHIN)


def leases(lease: timedelta) -> Iterator[Stamp]:
    """Yield the stamps of leases, which those who live renew long before they end."""
    for table in (Analysis, Delivery):
        rows = in_states(table, BUSY[table])
        yield Stamp(column=table.lease_expires_at, rows=rows, wait=lease)
    rows = _is_open(ShadowAnalysis.state)
    yield Stamp(column=ShadowAnalysis.lease_expires_at, rows=rows, wait=lease)
    held = KnownSpool.held_until
    yield Stamp(column=held, rows=held.is_not(None), wait=HELD_FOR)


def ages() -> Iterator[Stamp]:
    """Yield the stamps by whose age work that waits is given up."""
    yield Stamp(column=Delivery.created_at, rows=in_states(Delivery, *WAITING))


def bring_down(session: Session, stamp: Stamp, *, at: datetime, ahead: timedelta = _NOW) -> int:
    """Bring a portion of the stamps down that lie too far ahead, and return how many there were.

    Parameters
    ----------
    ahead : by how much more than its wait a stamp may lie in the future
    """
    is_wrong = stamp.rows & (stamp.column > at + stamp.wait + ahead)
    return _set(session, stamp.column, is_wrong, at + stamp.wait)


def prolong(session: Session, stamp: Stamp, *, since: datetime, at: datetime) -> int:
    """Prolong leases that were valid at one time and are over now although no time has passed.

    Parameters
    ----------
    since : when the clock was last right
    """
    was_valid = stamp.rows & (stamp.column >= since) & (stamp.column < at)
    return _set(session, stamp.column, was_valid, at + stamp.wait)


def begin_anew(session: Session, stamp: Stamp, *, at: datetime) -> int:
    """Count ages from now on that a clock which leapt forward has made."""
    return _set(session, stamp.column, stamp.rows & (stamp.column < at), at)


def _set(
    session: Session, column: InstrumentedAttribute[Any], rows: ColumnElement[bool], to: datetime
) -> int:
    table = column.class_
    # Locked before they are changed, and what another transaction holds is left to the next look.
    found = select(table.id).where(rows).limit(PORTION).with_for_update(skip_locked=True)
    ids = list(session.scalars(found))
    if ids:
        # No transition: the version, by which claims are compared, stays as it is.
        session.execute(
            update(table)
            .where(table.id.in_(ids))
            .values({column.key: to})
            .execution_options(synchronize_session=False)
        )
    return len(ids)


def _is_open(state: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return state.in_([literal_column("'due'"), literal_column("'running'")])
