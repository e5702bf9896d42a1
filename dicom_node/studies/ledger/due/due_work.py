"""Due work in its order: by priority, then what was never tried, and of that the newest first."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Select, exists, func, select, tuple_, update
from sqlalchemy.orm import Session

from dicom_node.facts.priority import Priority
from dicom_node.studies.ledger.due.pauses import NOTHING_HELD, Holds
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.states import TAKEN, AnalysisState, DeliveryState, State
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

Work = TypeVar("Work", Analysis, Delivery)

BATCH: Final = 1000
"""Pieces of work that one transaction looks at: a statement may have 65,535 parameters."""

ANSWERED_LATELY: Final = timedelta(seconds=10)
"""Time for which a destination that took everything counts as one that answers."""

DUE: Final[dict[type[Analysis | Delivery], State]] = {
    Analysis: AnalysisState.DUE,
    Delivery: DeliveryState.DUE,
}

Rank = tuple[Priority, bool]
"""A priority, and whether the work was tried before and failed."""


def due(
    session: Session,
    table: type[Work],
    *,
    at: datetime,
    limit: int = BATCH,
    destination: str | None = None,
    holds: Holds = NOTHING_HELD,
) -> list[Work]:
    """List due work about which the broker was not told, in the order in which it is done.

    Parameters
    ----------
    limit : number of rows that are read, however many are due
    destination : deliveries to this one only; None for all, and for analyses
    holds : what must not begin now
    """
    if holds.stop(table) or (destination is not None and holds.withheld(destination)):
        return []
    rows: list[Work] = []
    # A look for each rank reads an index from the end and stops: what failed before, of an
    # archive that is away, may be a hundred thousand rows, and must not be read to find the new.
    for rank in ranks(table, holds):
        query = of_rank(table, rank, at=at, holds=holds, destination=destination)
        query = query.where(table.dispatched_at.is_(None)).limit(limit - len(rows))
        rows += session.scalars(query)
        if len(rows) >= limit:
            break
    return rows


def ranks(table: type[Analysis | Delivery], holds: Holds) -> Iterator[Rank]:
    """Yield the ranks of work that may begin, the most urgent first."""
    for priority in sorted(Priority, reverse=True):
        # Results that are there are delivered at any time.
        if table is Analysis and priority is Priority.OFF_PEAK and not holds.is_off_peak:
            continue
        yield from ((priority, False), (priority, True))


def of_rank(
    table: type[Work],
    rank: Rank,
    *,
    at: datetime,
    holds: Holds = NOTHING_HELD,
    destination: str | None = None,
) -> Select[Any]:
    """Return a query of the due work of one rank, the newest first."""
    priority, is_tried = rank
    tried = table.attempts > 0 if is_tried else table.attempts == 0
    query = select(table).where(
        is_due(table), table.priority == int(priority), tried, table.due_at <= at
    )
    if table is Analysis and holds.senders:
        theirs = exists().where(
            Study.id == Analysis.study_id, Study.calling_ae_title.in_(holds.senders)
        )
        query = query.where(~theirs)
    if holds.unreached:
        query = query.where(~holds.unreached.holds_up(table))
    return _to(query, table, destination).order_by(table.due_at.desc(), table.id.desc())


def is_untold(session: Session, table: type[Work]) -> bool:
    """Return whether there is due work about which the broker was not told."""
    query = select(table.id).where(is_due(table), table.dispatched_at.is_(None)).limit(1)
    return session.scalar(query) is not None


def newest(session: Session) -> tuple[int, int]:
    """Return the highest ids of analyses and deliveries: with a new one there is something due."""
    # Two looks at the ends of primary keys, so that it can be asked many times a second.
    query = select(
        select(func.max(Analysis.id)).scalar_subquery(),
        select(func.max(Delivery.id)).scalar_subquery(),
    )
    analysis, delivery = session.execute(query).one()
    return analysis or 0, delivery or 0


def put_off(
    session: Session, table: type[Work], work_id: int, *, at: datetime, wait: timedelta
) -> None:
    """Have the broker told of due work again after a while, because nobody can begin it now."""
    session.execute(
        update(table)
        .where(table.id == work_id, is_due(table))
        .values(dispatched_at=None, due_at=at + wait)
        .execution_options(synchronize_session=False)
    )


def waiting_destinations(session: Session) -> list[str]:
    """List the destinations with deliveries about which the broker was not told, by name."""
    # From one name to the next in the index: DISTINCT would read every row that waits.
    found: list[str] = []
    query = (
        select(Delivery.destination)
        .where(is_due(Delivery), Delivery.dispatched_at.is_(None))
        .order_by(Delivery.destination)
        .limit(1)
    )
    name = session.scalar(query)
    while name is not None:
        found.append(name)
        name = session.scalar(query.where(Delivery.destination > name))
    return found


def is_failing(session: Session, destination: str, *, at: datetime) -> bool:
    """Return whether a destination has failed, and has taken nothing in the last seconds."""
    # The highest number at the end of each priority's part of the index: one row is read of it.
    most = (
        select(Delivery.attempts)
        .where(
            is_due(Delivery), Delivery.dispatched_at.is_(None), Delivery.destination == destination
        )
        .order_by(Delivery.attempts.desc())
        .limit(1)
    )
    if not any(session.scalar(most.where(Delivery.priority == int(one))) for one in Priority):
        return False
    taken = select(func.max(Delivery.finished_at)).where(
        in_states(Delivery, *TAKEN), Delivery.destination == destination
    )
    last = session.scalar(taken)
    return last is None or last < at - ANSWERED_LATELY


def count_sending(session: Session, destination: str) -> int:
    """Count the deliveries to a destination that are under way."""
    query = select(func.count(Delivery.id)).where(
        in_states(Delivery, DeliveryState.SENDING),
        # Always true, and names the column by which SQLite finds them.
        Delivery.lease_expires_at.is_not(None),
        Delivery.destination == destination,
    )
    return session.scalar(query) or 0


def count_dispatched(session: Session, table: type[Work], destination: str | None = None) -> int:
    """Count the work about which the broker was told and that no worker has claimed."""
    query = select(func.count(table.id)).where(is_due(table), table.dispatched_at.is_not(None))
    return session.scalar(_to(query, table, destination)) or 0


def dispatched_before(
    session: Session, table: type[Work], *, before: datetime, limit: int = BATCH
) -> list[Work]:
    """List due work about which the broker was told some time ago, the longest ago first."""
    return list(
        session.scalars(
            select(table)
            .where(is_due(table), table.dispatched_at.is_not(None), table.dispatched_at <= before)
            .order_by(table.dispatched_at, table.id)
            .limit(limit)
        )
    )


def is_due(table: type[Work]) -> ColumnElement[bool]:
    """Return the condition of due work."""
    return in_states(table, DUE[table])


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
        # By the ids first: SQLite finds no row by a pair of columns but by reading them all.
        query = select(table).where(
            table.id.in_([row_id for row_id, _ in decided]),
            tuple_(table.id, table.version).in_(decided),
        )
        unclaimed = session.scalars(locking(query, skip_locked=True)).all()
        session.execute(
            update(table)
            .where(table.id.in_([row.id for row in unclaimed]))
            .values(dispatched_at=at)
            .execution_options(synchronize_session=False)
        )


def take_back_message(session: Session, row: Analysis | Delivery) -> None:
    """Record that the broker has no message about a row that the caller has locked."""
    table = type(row)
    session.execute(
        update(table)
        .where(table.id == row.id)
        .values(dispatched_at=None)
        .execution_options(synchronize_session=False)
    )


def take_back_messages(session: Session, table: type[Work]) -> None:
    """Record that the broker has no message about any due work."""
    session.execute(
        update(table)
        .where(is_due(table), table.dispatched_at.is_not(None))
        .values(dispatched_at=None)
        .execution_options(synchronize_session=False)
    )
