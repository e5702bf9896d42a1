"""Locks of the ledger's rows, so that what a transaction decided on is still so when it commits.

SQLite has one write lock, which every writing transaction takes at its begin. In PostgreSQL a
transaction locks the rows that it decides on, in this order: study, analysis, delivery.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import DateTime, Select, func, literal, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, Study

Row = TypeVar("Row", Study, Instance, Analysis, Delivery)


def locking(query: Select[Row], *, skip_locked: bool = False) -> Select[Row]:
    """Let a query lock the rows that it finds until the transaction ends, and read them anew.

    Parameters
    ----------
    skip_locked : bool
        Leave out rows that another transaction holds, instead of waiting for it.
    """
    # NO KEY UPDATE: rows that refer to a locked one may be added meanwhile.
    return query.with_for_update(key_share=True, skip_locked=skip_locked).execution_options(
        populate_existing=True
    )


def locked(session: Session, table: type[Row], row_id: int | None) -> Row | None:
    """Lock a row and return it as it is now; None if there is none."""
    return session.scalars(locking(select(table).where(table.id == row_id))).first()


def require_locked(session: Session, table: type[Row], row_id: int | None) -> Row:
    """Lock a row that exists, and return it as it is now."""
    return session.scalars(locking(select(table).where(table.id == row_id))).one()


def database_time(session: Session) -> datetime:
    """Return the time by the database's clock, which all hosts share."""
    if session.get_bind().dialect.name != "postgresql":
        return datetime.now(UTC)  # SQLite runs in this process and has this host's clock
    # The time of this statement and not of the transaction's begin: it may have waited for a lock.
    now: Any = func.timezone(literal("UTC"), func.clock_timestamp(), type_=DateTime())
    moment: datetime = session.scalars(select(now)).one()
    return moment.replace(tzinfo=UTC)
