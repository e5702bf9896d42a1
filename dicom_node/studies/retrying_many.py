"""Retries everything that ended badly for one reason, as after a bad night."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time, locking
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, Event
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.ledger.transitions import apply
from dicom_node.studies.ledger.work import Work
from dicom_node.studies.operator_actions import BY_HAND, fresh

PORTION: Final = 100
"""Rows that one transaction changes: nobody waits for all of them."""

_ENDED_BADLY: Final = {
    Analysis: (AnalysisState.FAILED,),
    Delivery: (DeliveryState.REFUSED, DeliveryState.EXPIRED),
}

# The time until a delivery expires starts again with the request.
_RESTARTED: Final[dict[type, tuple[str, ...]]] = {Analysis: (), Delivery: ("created_at",)}


def retry_all(database: Database, reason: str) -> dict[str, int]:
    """Make failed analyses, and refused and expired deliveries, due again as if they were new.

    Parameters
    ----------
    reason : text
        Part of the reasons of what is retried, in capitals or not; an empty one matches all.

    Returns
    -------
    dict
        How many analyses and deliveries are due again.
    """
    return {
        "analyses": _retry_all_of(database, Analysis, reason),
        "deliveries": _retry_all_of(database, Delivery, reason),
    }


def _retry_all_of(database: Database, table: type[Work], reason: str) -> int:
    count, last = 0, 0
    while True:
        with database.writing() as session:
            found = _next_portion(session, table, reason, after=last)
            at = database_time(session)
            changes = {**fresh(at), **dict.fromkeys(_RESTARTED[table], at)}
            for row in found:
                apply(session, row, Event.RETRY, because=BY_HAND, at=at, **changes)
            if not found:
                return count
            count, last = count + len(found), found[-1].id


def _next_portion(session: Session, table: type[Work], reason: str, *, after: int) -> list[Work]:
    query = select(table).where(
        table.state.in_(_ENDED_BADLY[table]),
        table.id > after,
        table.reason.icontains(reason, autoescape=True),
    )
    if table is Delivery:
        # Not what a later revision replaces, or what names a patient that was corrected since.
        superseded = select(Analysis.id).where(Analysis.state == AnalysisState.SUPERSEDED)
        query = query.where(Delivery.analysis_id.not_in(superseded))
    # What somebody else is changing at this moment is no longer what the reason says.
    query = query.order_by(table.id).limit(PORTION)
    return list(session.scalars(locking(query, skip_locked=True)))
