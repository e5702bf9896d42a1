"""Leases on analyses and deliveries: claimed, renewed by heartbeat, recovered when lost."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, Event
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.ledger.transitions import apply

Work = TypeVar("Work", Analysis, Delivery)

EXPIRE_AFTER: Final = timedelta(days=7)
"""Default age at which a delivery expires."""

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
    row = session.get(table, work_id)
    # A message may be repeated, late, or about work that was cancelled since: the row decides.
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
    # From the database, even where this session read the row before.
    row = session.get_one(table, held.id, populate_existing=True)
    if row.version != held.version:
        raise OvertakenError(
            f"{table.__tablename__} {held.id}: the claim of {held.holder} is no longer valid"
        )
    return row


def due(session: Session, table: type[Work], *, at: datetime) -> list[Work]:
    """List the work that is due, oldest first."""
    return list(
        session.scalars(
            select(table)
            .where(table.state == _DUE[table], table.due_at <= at)
            .order_by(table.due_at, table.id)
        )
    )


def note_dispatched(
    session: Session, table: type[Work], work_ids: list[int], *, at: datetime
) -> None:
    """Record when the broker last accepted messages about due work."""
    # No transition and no new version: a worker may have claimed the work before this is written,
    # and its claim must stand.
    session.execute(
        update(table)
        .where(table.id.in_(work_ids))
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
    lost = list(
        session.scalars(
            select(table).where(table.state == _BUSY[table], table.lease_expires_at < at)
        )
    )
    for row in lost:
        reason = f"worker {row.lease_holder} stopped responding in attempt {row.attempts}"
        if table is Analysis and row.attempts >= maximum_attempts:
            reason = f"given up after {row.attempts} attempts: {reason}"
            apply(session, row, Event.FAIL, because=reason, at=at, reason=reason, finished_at=at)
        # By age and not by attempts: an archive may be down for days and then take everything.
        elif table is Delivery and row.created_at + expire_after <= at:
            apply(session, row, Event.EXPIRE, because=reason, at=at, reason=reason, finished_at=at)
        else:
            # The message may have died with its worker, so another is sent. If it did not, the
            # second one finds the work claimed.
            apply(
                session, row, Event.LEASE_LOST, because=reason, at=at, dispatched_at=None, due_at=at
            )
    return lost
