"""Leases on analyses and deliveries: claimed once, renewed by heartbeat, found again when lost."""

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
"""Age at which a delivery is given up, where the settings say nothing else."""

_BUSY: Final = {Analysis: AnalysisState.RUNNING, Delivery: DeliveryState.SENDING}
_DUE: Final = {Analysis: AnalysisState.DUE, Delivery: DeliveryState.DUE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One holder's right to one piece of work, while its version stands.

    Attributes
    ----------
    attempt : 1 or more
        Starts of this work so far, this one included.
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
    """Take a piece of work that is due; None where it is not: a late message does no harm."""
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
    """Extend a lease; False where the work was taken away or given to another."""
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
    """Return the row of a claim that still stands.

    Raises
    ------
    OvertakenError
        The work was cancelled, superseded, or its lease was lost.
    """
    # From the database, even where this session read the row before.
    row = session.get_one(table, held.id, populate_existing=True)
    if row.version != held.version:
        raise OvertakenError(f"{table.__tablename__} {held.id} is no longer {held.holder}'s")
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
    """Note when the broker was last told of due work."""
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
    """Make work due again whose holder fell silent, and give up what kills its holders for ever.

    Parameters
    ----------
    maximum_attempts : starts of an analysis before it is failed
    expire_after : age at which a delivery is given up
    """
    lost = list(
        session.scalars(
            select(table).where(table.state == _BUSY[table], table.lease_expires_at < at)
        )
    )
    for row in lost:
        reason = f"no sign of {row.lease_holder} in attempt {row.attempts}"
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
