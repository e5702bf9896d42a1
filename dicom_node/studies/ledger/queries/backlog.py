"""How much work waits, and for how long."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.due.due_work import Work, is_due
from dicom_node.studies.ledger.tables import Analysis, Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits of one kind.

    Attributes
    ----------
    things : what it is, in words
    oldest : when the oldest of it became due first; None if nothing waits
    """

    things: str
    count: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Analyses and deliveries that no worker has begun, or that are to be tried again."""

    analyses: Waiting
    deliveries: Waiting


def backlog(session: Session) -> Backlog:
    """Return what waits in the ledger."""
    return Backlog(
        analyses=_waiting(session, Analysis, "analyses"),
        deliveries=_waiting(session, Delivery, "deliveries"),
    )


def _waiting(session: Session, table: type[Work], things: str) -> Waiting:
    query = select(func.count(), func.min(table.created_at)).where(is_due(table))
    count, oldest = session.execute(query).one()
    return Waiting(things=things, count=count, oldest=oldest)
