"""Sends elsewhere, or gives up, what waits for a destination that is gone."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import database_time, locking
from dicom_node.studies.ledger.proof.proofs import owes_proof, owing_proof
from dicom_node.studies.ledger.states import WAITING, DeliveryState, Event
from dicom_node.studies.ledger.tables import Analysis, Delivery, DeliveryOutcome
from dicom_node.studies.ledger.transitions import apply

PORTION: Final = 100
"""Deliveries that one transaction changes: nobody waits for all of them."""

_MOVABLE: Final = (DeliveryState.DUE, DeliveryState.HELD)


Done = Literal["moved", "given_up", "asked", "waived"]

Change = Callable[[Session, Delivery, datetime], Done]
"""Changes a delivery that is locked, and returns what was done with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirected:
    """What became of the deliveries that waited for a destination, or for its proof.

    Attributes
    ----------
    moved : are due to the other destination
    given_up : are expired
    asked : were accepted, and the other destination is asked to prove it
    waived : were accepted, and nobody is asked for a proof any more
    """

    moved: int = 0
    given_up: int = 0
    asked: int = 0
    waived: int = 0


def move_deliveries(
    database: Database, old: str, new: str, *, moved_by: str, reason: str, with_proofs: bool = False
) -> Redirected:
    """Make what waits for a destination due to another one, of which nothing was sent there.

    Where the other one has a delivery of the same results already, this one is given up.

    Parameters
    ----------
    with_proofs : have the other one asked besides for what this one has accepted and not proven
    """
    because = f"moved from {old} to {new} by {moved_by}: {reason}"

    def move(session: Session, row: Delivery, at: datetime) -> Done:
        query = select(Delivery.id).where(
            Delivery.analysis_id == row.analysis_id, Delivery.destination == new
        )
        if session.scalar(query) is not None:
            return _give_up(
                session, row, f"{because} (which has a delivery of the same results)", at
            )
        if row.state is DeliveryState.ACCEPTED:
            # Under a new name the old archive has it: it is asked before anything is sent again.
            asked: dict[str, Any] = {"destination": new, "reason": "", "proof_due_at": at}
            asked |= {"proof_attempts": 0, "sent_again": 0}
            apply(session, row, Event.MOVE, because=because, at=at, **asked)
            return "asked"
        # What the one has accepted the other one has not.
        session.execute(delete(DeliveryOutcome).where(DeliveryOutcome.delivery_id == row.id))
        changes: dict[str, Any] = {"destination": new, "attempts": 0, "reason": ""}
        changes |= {"due_at": at, "created_at": at, "dispatched_at": None}
        apply(session, row, Event.MOVE, because=because, at=at, **changes)
        return "moved"

    return _with_each(database, old, move, with_proofs=with_proofs)


def drop_deliveries(
    database: Database, old: str, *, dropped_by: str, reason: str, with_proofs: bool = False
) -> Redirected:
    """Give up what waits for a destination; the results stay, and can be retried.

    Parameters
    ----------
    with_proofs : ask besides for nothing more that it has accepted and not proven
    """
    because = f"dropped by {dropped_by}: {reason}"

    def drop(session: Session, row: Delivery, at: datetime) -> Done:
        return _give_up(session, row, because, at)

    return _with_each(database, old, drop, with_proofs=with_proofs)


def _give_up(session: Session, row: Delivery, because: str, at: datetime) -> Done:
    if row.state is DeliveryState.ACCEPTED:
        reason = f"accepted, and no proof is wanted: {because}"
        apply(session, row, Event.DROP, because=reason, at=at, reason=reason, proof_due_at=None)
        return "waived"
    apply(session, row, Event.DROP, because=because, at=at, reason=because, finished_at=at)
    return "given_up"


def _with_each(database: Database, old: str, change: Change, *, with_proofs: bool) -> Redirected:
    which = and_(
        in_states(Delivery, *WAITING), Delivery.destination == old, Delivery.state.in_(_MOVABLE)
    )
    if with_proofs:
        which = or_(which, owing_proof(old))
    with database.reading() as session:
        query = select(Delivery.id, Delivery.analysis_id).where(which).order_by(Delivery.id)
        found = session.execute(query).all()
    done: Counter[str] = Counter()
    for first in range(0, len(found), PORTION):
        portion = found[first : first + PORTION]
        with database.writing() as session:
            at = database_time(session)
            # Analyses before deliveries, as everywhere: nobody adds another delivery of them.
            analyses = select(Analysis).where(Analysis.id.in_([one[1] for one in portion]))
            session.scalars(locking(analyses.order_by(Analysis.id))).all()
            rows = select(Delivery).where(
                Delivery.id.in_([one[0] for one in portion]), Delivery.destination == old
            )
            for row in session.scalars(locking(rows.order_by(Delivery.id))).all():
                if row.state in _MOVABLE or (with_proofs and owes_proof(row)):
                    done[change(session, row, at)] += 1
    return Redirected(**done)
