"""What destinations have accepted and given no proof of, and for how long."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, func, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.proof.proofs import never_proven, owing_proof
from dicom_node.studies.ledger.states import TAKEN
from dicom_node.studies.ledger.tables import Delivery

GIVEN_UP_DAYS: Final = 30
"""For how long a delivery is counted of which no proof is waited for any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """The deliveries that one destination has accepted and has not proven.

    Attributes
    ----------
    waiting : number of those it is still asked about
    oldest : when it accepted the first of these; None if there is none
    given_up : number of those of the last 30 days that it was asked about in vain
    reason : of the oldest, or of the last one that was given up; empty if it was not asked yet
    """

    destination: str
    waiting: int
    oldest: datetime | None
    given_up: int
    reason: str


def unproven(session: Session, destinations: Collection[str], *, at: datetime) -> list[Unproven]:
    """Return what each destination has not proven, in the order of the names that are given.

    Parameters
    ----------
    destinations : names of those that are to prove what they accept
    """
    return [_of(session, name, at) for name in destinations]


def owed_elsewhere(session: Session, destinations: Collection[str]) -> dict[str, int]:
    """Count what other destinations than these have accepted and not proven, by name.

    Parameters
    ----------
    destinations : names of those in the settings
    """
    taken = (
        select(Delivery.destination)
        .where(in_states(Delivery, *TAKEN))
        .order_by(Delivery.destination)
        .limit(1)
    )
    found: dict[str, int] = {}
    # From one name to the next in the index: DISTINCT would read all that was ever delivered.
    name = session.scalar(taken)
    while name is not None:
        if name not in destinations:
            owed = select(func.count(Delivery.id)).where(owing_proof(name))
            found[name] = session.scalar(owed) or 0
        name = session.scalar(taken.where(Delivery.destination > name))
    return {name: count for name, count in found.items() if count}


def _of(session: Session, name: str, at: datetime) -> Unproven:
    is_waiting = and_(Delivery.destination == name, Delivery.proof_due_at.is_not(None))
    is_given_up = and_(
        never_proven(name), Delivery.finished_at > at - timedelta(days=GIVEN_UP_DAYS)
    )
    waiting, oldest = session.execute(
        select(func.count(Delivery.id), func.min(Delivery.finished_at)).where(is_waiting)
    ).one()
    given_up = session.scalar(select(func.count(Delivery.id)).where(is_given_up)) or 0
    reason = _reason(session, is_waiting, Delivery.finished_at) if waiting else ""
    if not reason and given_up:
        reason = _reason(session, is_given_up, Delivery.finished_at.desc())
    return Unproven(
        destination=name, waiting=waiting, oldest=oldest, given_up=given_up, reason=reason
    )


def _reason(
    session: Session, which: ColumnElement[bool], first: SQLColumnExpression[datetime | None]
) -> str:
    return session.scalar(select(Delivery.reason).where(which).order_by(first).limit(1)) or ""
