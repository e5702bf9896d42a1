"""Leases on analyses and deliveries: claimed, renewed by heartbeat, recovered when lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal_column, select, tuple_, update
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.locks import locked, locking, require_locked
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, Event
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.ledger.transitions import apply

Work = TypeVar("Work", Analysis, Delivery)

EXPIRE_AFTER: Final = timedelta(days=7)
"""Default age at which a delivery expires."""

BATCH: Final = 1000
"""Pieces of work that one transaction looks at: a statement may have 65,535 parameters."""

_BUSY: Final = {Analysis: AnalysisState.RUNNING, Delivery: DeliveryState.SENDING}
_DUE: Final = {Analysis: AnalysisState.DUE, Delivery: DeliveryState.DUE}


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
) -> tuple[Claim, Work] | None:
    """Claim a piece of work; return None if it is not due, as after a late message."""
    # A message may be repeated, late, or about work that was cancelled since: the row decides. It
    # is locked, so that the second of two claims at once waits and then finds nothing due.
    row = locked(session, table, work_id)
    if row is None or row.state is not _DUE[table] or row.due_at > at:
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


def put_off(
    session: Session, table: type[Work], work_id: int, *, at: datetime, wait: timedelta
) -> None:
    """Have the broker told of due work again after a while, because nobody can begin it now."""
    session.execute(
        update(table)
        .where(table.id == work_id, _is_due(table))
        .values(dispatched_at=None, due_at=at + wait)
        .execution_options(synchronize_session=False)
    )


def due(
    session: Session,
    table: type[Work],
    *,
    at: datetime,
    limit: int = BATCH,
    destination: str | None = None,
) -> list[Work]:
    """List due work about which the broker was not told: first what was never tried, newest first.

    Parameters
    ----------
    limit : number of rows that are read, however many are due
    destination : deliveries to this one only; None for all, and for analyses
    """
    # Two looks, so that each reads an index from the end and stops: what failed before, of an
    # archive that is away, may be a hundred thousand rows, and must not be read to find the new.
    rows: list[Work] = []
    for is_tried in (table.attempts == 0, table.attempts > 0):
        query = select(table).where(
            _is_due(table), table.dispatched_at.is_(None), is_tried, table.due_at <= at
        )
        query = _to(query, table, destination).order_by(table.due_at.desc(), table.id.desc())
        rows += session.scalars(query.limit(limit - len(rows)))
        if len(rows) >= limit:
            break
    return rows


def waiting_destinations(session: Session) -> list[str]:
    """List the destinations with deliveries about which the broker was not told, by name."""
    # From one name to the next in the index: DISTINCT would read every row that waits.
    found: list[str] = []
    query = select(func.min(Delivery.destination)).where(
        _is_due(Delivery), Delivery.dispatched_at.is_(None)
    )
    name = session.scalar(query)
    while name is not None:
        found.append(name)
        name = session.scalar(query.where(Delivery.destination > name))
    return found


def count_dispatched(session: Session, table: type[Work], destination: str | None = None) -> int:
    """Count the work about which the broker was told and that no worker has claimed."""
    query = select(func.count(table.id)).where(_is_due(table), table.dispatched_at.is_not(None))
    return session.scalar(_to(query, table, destination)) or 0


def dispatched_before(
    session: Session, table: type[Work], *, before: datetime, limit: int = BATCH
) -> list[Work]:
    """List due work about which the broker was told some time ago, the longest ago first."""
    return list(
        session.scalars(
            select(table)
            .where(_is_due(table), table.dispatched_at.is_not(None), table.dispatched_at <= before)
            .order_by(table.dispatched_at, table.id)
            .limit(limit)
        )
    )


def _is_due(table: type[Work]) -> ColumnElement[bool]:
    # A literal and no parameter: only so does SQLite see that a partial index holds the answer.
    return table.state == literal_column(f"'{_DUE[table].value}'")


def _to(query: Select[Any], table: type[Work], destination: str | None) -> Select[Any]:
    if destination is None or table is Analysis:
        return query
    return query.where(Delivery.destination == destination)


def note_dispatched(
    session: Session, table: type[Work], told: Sequence[Work], *, at: datetime
) -> None:
    """Record when the broker last accepted messages about due work.

    Parameters
    ----------
    told : as read before the messages were sent
        Work that somebody has claimed since, or made due again, needs its next message.
    """
    # No transition and no new version: a claim that follows must stand.
    for first in range(0, len(told), BATCH):
        decided = [(row.id, row.version) for row in told[first : first + BATCH]]
        query = select(table).where(tuple_(table.id, table.version).in_(decided))
        unclaimed = session.scalars(locking(query, skip_locked=True)).all()
        session.execute(
            update(table)
            .where(table.id.in_([row.id for row in unclaimed]))
            .values(dispatched_at=at)
            .execution_options(synchronize_session=False)
        )


def recover_lost(
    session: Session,
    table: type[Work],
    *,
    maximum_attempts: int,
    expire_after: timedelta = EXPIRE_AFTER,
    at: datetime,
) -> list[Work]:
    """Make work with an expired lease due again, or give it up after too many attempts.

    Parameters
    ----------
    maximum_attempts : attempts of an analysis before it counts as failed
    expire_after : age at which a delivery expires
    """
    lost = _with_lost_lease(session, table, at)
    for row, is_superseded in lost:
        reason = f"worker {row.lease_holder} stopped responding in attempt {row.attempts}"
        if table is Analysis and row.attempts >= maximum_attempts:
            reason = f"given up after {row.attempts} attempts: {reason}"
            apply(session, row, Event.FAIL, because=reason, at=at, reason=reason, finished_at=at)
        elif is_superseded:
            reason = f"superseded by a later revision; {reason}"
            apply(session, row, Event.EXPIRE, because=reason, at=at, reason=reason, finished_at=at)
        # By age and not by attempts: an archive may be down for days and then take everything.
        elif table is Delivery and row.created_at + expire_after <= at:
            apply(session, row, Event.EXPIRE, because=reason, at=at, reason=reason, finished_at=at)
        else:
            # The message may have died with its worker, so another is sent. If it did not, the
            # second one finds the work claimed.
            apply(
                session, row, Event.LEASE_LOST, because=reason, at=at, dispatched_at=None, due_at=at
            )
    return [row for row, _ in lost]


def _with_lost_lease(session: Session, table: type[Work], at: datetime) -> list[tuple[Work, bool]]:
    """Lock work with an expired lease; beside each whether a later revision superseded it."""
    is_lost = (table.state == _BUSY[table]) & (table.lease_expires_at < at)
    query = select(table).where(is_lost).order_by(table.id).limit(BATCH)
    # What is locked is just being finished or recovered: the next look finds it as it is then.
    if table is Analysis:
        return [(row, False) for row in session.scalars(locking(query, skip_locked=True))]
    # Deliveries with their analyses, whose next revision gives up what it finds due.
    analyses = select(Analysis).join(Delivery).where(is_lost).order_by(Analysis.id).limit(BATCH)
    held = session.scalars(locking(analyses, skip_locked=True)).unique().all()
    gone = [row.id for row in held if row.state is AnalysisState.SUPERSEDED]
    superseded = set(session.scalars(select(Delivery.id).where(Delivery.analysis_id.in_(gone))))
    query = query.where(Delivery.analysis_id.in_([row.id for row in held]))
    return [
        (row, row.id in superseded) for row in session.scalars(locking(query, skip_locked=True))
    ]
