"""Sends elsewhere, or gives up, what waits for a destination that is gone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import database_time, locking
from dicom_node.studies.ledger.states import WAITING, DeliveryState, Event
from dicom_node.studies.ledger.tables import Analysis, Delivery, DeliveryOutcome
from dicom_node.studies.ledger.transitions import apply

PORTION: Final = 100
"""Deliveries that one transaction changes: nobody waits for all of them."""

_MOVABLE: Final = (DeliveryState.DUE, DeliveryState.HELD)


Change = Callable[[Session, Delivery, datetime], bool]
"""Changes a delivery that is locked; returns whether it is due to another destination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirected:
    """What became of the deliveries that waited for a destination.

    Attributes
    ----------
    moved : are due to the other destination
    given_up : are expired
    """

    moved: int
    given_up: int


def move_deliveries(
    database: Database, old: str, new: str, *, moved_by: str, reason: str
) -> Redirected:
    """Make what waits for a destination due to another one, of which nothing was sent there.

    Where the other one has a delivery of the same results already, this one is given up.
    """
    because = f"moved from {old} to {new} by {moved_by}: {reason}"

    def move(session: Session, row: Delivery, at: datetime) -> bool:
        query = select(Delivery.id).where(
            Delivery.analysis_id == row.analysis_id, Delivery.destination == new
        )
        if session.scalar(query) is not None:
            why = f"{because} (which has a delivery of the same results)"
            apply(session, row, Event.DROP, because=why, at=at, reason=why, finished_at=at)
            return False
        # What the one has accepted the other one has not.
        session.execute(delete(DeliveryOutcome).where(DeliveryOutcome.delivery_id == row.id))
        changes: dict[str, Any] = {"destination": new, "attempts": 0, "reason": ""}
        changes |= {"due_at": at, "created_at": at, "dispatched_at": None}
        apply(session, row, Event.MOVE, because=because, at=at, **changes)
        return True

    return _with_each(database, old, move)


def drop_deliveries(database: Database, old: str, *, dropped_by: str, reason: str) -> Redirected:
    """Give up what waits for a destination; the results stay, and can be retried."""
    because = f"dropped by {dropped_by}: {reason}"

    def drop(session: Session, row: Delivery, at: datetime) -> bool:
        apply(session, row, Event.DROP, because=because, at=at, reason=because, finished_at=at)
        return False

    return _with_each(database, old, drop)


def _with_each(database: Database, old: str, change: Change) -> Redirected:
    moved, given_up, last = 0, 0, 0
    while True:
        with database.writing() as session:
            at = database_time(session)
            query = select(Delivery.id, Delivery.analysis_id).where(
                in_states(Delivery, *WAITING),
                Delivery.destination == old,
                Delivery.state.in_(_MOVABLE),
                Delivery.id > last,
            )
            found = session.execute(query.order_by(Delivery.id).limit(PORTION)).all()
            if not found:
                return Redirected(moved=moved, given_up=given_up)
            last = found[-1][0]
            # Analyses before deliveries, as everywhere: nobody adds another delivery of them.
            analyses = select(Analysis).where(Analysis.id.in_([one[1] for one in found]))
            session.scalars(locking(analyses.order_by(Analysis.id))).all()
            still = select(Delivery).where(
                Delivery.id.in_([one[0] for one in found]), Delivery.state.in_(_MOVABLE)
            )
            for row in session.scalars(locking(still.order_by(Delivery.id))).all():
                is_moved = change(session, row, at)
                moved, given_up = moved + is_moved, given_up + (not is_moved)
