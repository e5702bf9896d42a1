"""Leases on analyses and deliveries: claimed, renewed by heartbeat, recovered when lost."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.destinations.circuits import tried_since
from dicom_node.studies.ledger.due.choosing import chosen
from dicom_node.studies.ledger.due.doubt import put_off_in_doubt
from dicom_node.studies.ledger.due.due_work import BATCH, DUE, Work, take_back_message
from dicom_node.studies.ledger.due.pauses import NOTHING_HELD, Holds
from dicom_node.studies.ledger.due.standstill import is_standstill
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import locked, locking, require_locked
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, Event, State
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.ledger.transitions import apply

log = structlog.get_logger("dicom_node.work")

EXPIRE_AFTER: Final = timedelta(days=7)
"""Default age at which a delivery expires."""

BUSY: Final[dict[type[Analysis | Delivery], State]] = {
    Analysis: AnalysisState.RUNNING,
    Delivery: DeliveryState.SENDING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right of one worker to one piece of work, valid until the version changes.

    Attributes
    ----------
    attempt : 1 or more
        Number of this attempt.
    """

    id: int
    version: int
    attempt: int
    holder: str


def claim(
    session: Session,
    table: type[Work],
    work_id: int,
    *,
    holder: str,
    lease: timedelta,
    at: datetime,
    holds: Holds = NOTHING_HELD,
) -> tuple[Claim, Work] | None:
    """Claim a piece of work, or what is more urgent by now; return None if there is nothing to do.

    Parameters
    ----------
    work_id : what the message names
    holds : what must not begin now
    """
    # A message may be repeated, late, or about work that was cancelled since: the row decides. It
    # is locked, so that the second of two claims at once waits and then finds nothing due.
    named = locked(session, table, work_id)
    if named is None or named.state is not DUE[table] or named.due_at > at:
        return None
    row = chosen(session, named, holds=holds, at=at)
    if row is not named:
        # Its message is used up, and it gets another one.
        take_back_message(session, named)
    if row is None:
        return None
    apply(
        session,
        row,
        Event.CLAIM,
        because=f"attempt {row.attempts + 1} by {holder}",
        at=at,
        # Counted at the start: a worker that is killed reports nothing, and must not start the
        # same analysis for ever.
        attempts=row.attempts + 1,
        lease_holder=holder,
        lease_expires_at=at + lease,
        reason="" if is_standstill(row.reason) else row.reason,
    )
    return Claim(id=row.id, version=row.version, attempt=row.attempts, holder=holder), row


def renew(session: Session, table: type[Work], held: Claim, *, until: datetime) -> bool:
    """Extend a lease; return False if the claim is no longer valid."""
    # The version stays as it is: it is what the holder's claim is compared with.
    moved = session.execute(
        update(table)
        .where(table.id == held.id, table.version == held.version)
        .values(lease_expires_at=until)
        .execution_options(synchronize_session=False)
        .returning(table.id)
    ).first()
    return moved is not None


def held_row(session: Session, table: type[Work], held: Claim) -> Work:
    """Return the row of a claim that is still valid.

    Raises
    ------
    OvertakenError
        The work was cancelled, superseded, or its lease was lost.
    """
    row = require_locked(session, table, held.id)
    if row.version != held.version:
        raise OvertakenError(
            f"{table.__tablename__} {held.id}: the claim of {held.holder} is no longer valid"
        )
    return row


def recover_lost(
    session: Session,
    table: type[Work],
    *,
    maximum_attempts: int,
    expire_after: timedelta = EXPIRE_AFTER,
    at: datetime,
) -> list[Work]:
    """Make work with an expired lease due again, or give it up after too many attempts.

    An analysis is given up only if its worker had been tested: else the worker may be at fault.

    Parameters
    ----------
    maximum_attempts : attempts of an analysis before it counts as failed
    expire_after : age at which a delivery expires, unless its destination is down
    """
    lost = _with_lost_lease(session, table, at)
    for row, is_superseded in lost:
        reason = f"worker {row.lease_holder} stopped responding in attempt {row.attempts}"
        if table is Analysis and row.attempts >= maximum_attempts:
            _give_up(session, row, reason, at)
        elif is_superseded:
            reason = f"superseded by a later revision; {reason}"
            apply(session, row, Event.EXPIRE, because=reason, at=at, reason=reason, finished_at=at)
        # By age and not by attempts: an archive may be down for days and then take everything.
        elif _is_over(session, row, expire_after, at):
            apply(session, row, Event.EXPIRE, because=reason, at=at, reason=reason, finished_at=at)
        else:
            # The message may have died with its worker, so another is sent. If it did not, the
            # second one finds the work claimed.
            apply(
                session, row, Event.LEASE_LOST, because=reason, at=at, dispatched_at=None, due_at=at
            )
    return [row for row, _ in lost]


def _give_up(session: Session, row: Work, reason: str, at: datetime) -> None:
    put_off = put_off_in_doubt(session, row.id, reason, at=at)
    if put_off is None:
        reason = f"given up after {row.attempts} attempts: {reason}"
        apply(session, row, Event.FAIL, because=reason, at=at, reason=reason, finished_at=at)
        return
    apply(
        session,
        row,
        Event.LEASE_LOST,
        because=put_off.reason,
        at=at,
        attempts=row.attempts - 1,
        reason=put_off.reason,
        dispatched_at=None,
        due_at=put_off.due_at,
    )
    log.error("worker_doubted", analysis=row.id, reason=put_off.reason)


def _is_over(session: Session, row: Work, expire_after: timedelta, at: datetime) -> bool:
    """Return whether the time of a delivery is over; an analysis has no such time."""
    if not isinstance(row, Delivery):
        return False
    since = tried_since(session, row.destination, row.created_at)
    return since is not None and since + expire_after <= at


def _with_lost_lease(session: Session, table: type[Work], at: datetime) -> list[tuple[Work, bool]]:
    """Lock work with an expired lease; beside each whether a later revision superseded it."""
    is_lost = in_states(table, BUSY[table]) & (table.lease_expires_at < at)
    # In the order of an index: in that of the ids SQLite would read all that ever was.
    order = (table.lease_expires_at, table.id)
    query = select(table).where(is_lost).order_by(*order).limit(BATCH)
    # What is locked is just being finished or recovered: the next look finds it as it is then.
    if table is Analysis:
        return [(row, False) for row in session.scalars(locking(query, skip_locked=True))]
    # Deliveries with their analyses, whose next revision gives up what it finds due.
    analyses = select(Analysis).join(Delivery).where(is_lost).order_by(*order).limit(BATCH)
    held = session.scalars(locking(analyses, skip_locked=True)).unique().all()
    gone = [row.id for row in held if row.state is AnalysisState.SUPERSEDED]
    superseded = set(session.scalars(select(Delivery.id).where(Delivery.analysis_id.in_(gone))))
    query = query.where(Delivery.analysis_id.in_([row.id for row in held]))
    return [
        (row, row.id in superseded) for row in session.scalars(locking(query, skip_locked=True))
    ]
