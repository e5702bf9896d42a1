"""Proof of delivery: which deliveries their destinations are asked about, and what came of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.studies.ledger.due.outcomes import ACCEPTED, HELD_BY_ARCHIVE
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import locked, locking, require_locked
from dicom_node.studies.ledger.states import TAKEN, AnalysisState, DeliveryState, Event
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    ResultObject,
    Study,
)
from dicom_node.studies.ledger.transitions import apply

MISSING: Final = "missing"
"""Outcome of an object that a destination accepted and does not hold: it is sent again."""

NOT_KEPT: Final = "not-kept"
"""Stable word for a destination that answers with success and keeps nothing."""

NOT_PROVEN_YET: Final = "not proven yet"
"""How the reason begins why a destination is still to be asked for what it has accepted."""

NEVER_PROVEN: Final = "never proven"
"""How the reason begins why a destination is not asked any more for what it has accepted."""

SENT_AGAIN_AT_MOST: Final = 2
"""How often what a destination does not keep is sent again before it counts as refused."""

_FEWEST_ATTEMPTS: Final = 2
"""Never on one answer alone: an archive that is just starting may show little."""

_SUPERSEDED: Final = "not asked for any more: superseded by a later revision"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedObject:
    """One result object that a destination has accepted, and of which it has given no proof.

    Attributes
    ----------
    id : that of its row among the result objects
    """

    id: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    is_retraction: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofClaim:
    """The right to ask a destination about one delivery, until another attempt has begun.

    Attributes
    ----------
    attempt : 1 or more
        Number of this attempt since the destination has accepted everything.
    """

    delivery_id: int
    version: int
    attempt: int
    accepted_at: datetime
    study_instance_uid: str
    objects: tuple[AcceptedObject, ...]


def owes_proof(row: Delivery) -> bool:
    """Return whether a delivery was accepted and is still to be proven, or was asked for in vain.

    The row says so and not the settings, which may know its destination no more.
    """
    is_owed = row.proof_due_at is not None or row.reason.startswith(NEVER_PROVEN)
    return row.state is DeliveryState.ACCEPTED and is_owed


def owing_proof(destination: str) -> ColumnElement[bool]:
    """Return the condition that `owes_proof` of a delivery to a destination."""
    is_asked = and_(
        Delivery.destination == destination,
        Delivery.proof_due_at.is_not(None),
        Delivery.state == DeliveryState.ACCEPTED,
    )
    return or_(is_asked, never_proven(destination))


def never_proven(destination: str) -> ColumnElement[bool]:
    """Return the condition that a delivery to a destination was asked for in vain."""
    return and_(
        Delivery.destination == destination,
        # All states that an index has together; of these only the accepted ones lack a proof.
        in_states(Delivery, *TAKEN),
        Delivery.state == DeliveryState.ACCEPTED,
        Delivery.proof_due_at.is_(None),
        Delivery.reason.startswith(NEVER_PROVEN, autoescape=True),
    )


def due_proofs(session: Session, destination: str, *, at: datetime, limit: int) -> list[int]:
    """List the deliveries that a destination is to be asked about, the longest due first."""
    query = select(Delivery.id).where(
        Delivery.proof_due_at.is_not(None),
        Delivery.destination == destination,
        Delivery.proof_due_at <= at,
    )
    return list(session.scalars(query.order_by(Delivery.proof_due_at, Delivery.id).limit(limit)))


def want_no_proof(session: Session, destination: str) -> None:
    """Ask a destination for nothing any more: what it has accepted stays so, without a remark."""
    is_asked = and_(Delivery.destination == destination, Delivery.proof_due_at.is_not(None))
    query = select(Delivery).where(or_(is_asked, never_proven(destination)))
    for row in session.scalars(locking(query)).all():
        reason = "" if row.state in TAKEN else row.reason
        # Asked from the beginning if it is to prove something again.
        _set(session, row, proof_due_at=None, proof_attempts=0, reason=reason)


def begin_proof(
    session: Session, delivery_id: int, *, at: datetime, until: datetime
) -> ProofClaim | None:
    """Claim the question about a delivery; None if it is not to be asked now.

    Parameters
    ----------
    until : when it is asked again if nothing more is heard of this attempt
    """
    analysis = locked(
        session,
        Analysis,
        session.scalar(select(Delivery.analysis_id).where(Delivery.id == delivery_id)),
    )
    row = locked(session, Delivery, delivery_id)
    if analysis is None or row is None or row.proof_due_at is None or row.proof_due_at > at:
        return None
    if row.state is not DeliveryState.ACCEPTED or row.finished_at is None:
        _set(session, row, proof_due_at=None)
        return None
    # Its objects may be retracted by the later revision's note, which archives heed by hiding
    # them: what is not found then must never be sent again.
    if analysis.state is AnalysisState.SUPERSEDED:
        _set(session, row, proof_due_at=None, reason=_SUPERSEDED)
        return None
    _set(session, row, proof_due_at=until, proof_attempts=row.proof_attempts + 1)
    return _claim(session, row, row.finished_at)


def claim_on(session: Session, row: Delivery, *, asked_at: datetime) -> ProofClaim | None:
    """Return the right to record what was asked for at a time; None if it is not wanted any more.

    An answer about what was sent again since says nothing about what is there now.
    """
    is_open = row.state in {DeliveryState.ACCEPTED, DeliveryState.CONFIRMED}
    if not is_open or row.finished_at is None or asked_at < row.finished_at:
        return None
    return _claim(session, row, row.finished_at)


def _claim(session: Session, row: Delivery, accepted_at: datetime) -> ProofClaim:
    analysis = session.get_one(Analysis, row.analysis_id)
    return ProofClaim(
        delivery_id=row.id,
        version=row.version,
        attempt=row.proof_attempts,
        accepted_at=accepted_at,
        study_instance_uid=session.get_one(Study, analysis.study_id).study_instance_uid,
        objects=_uncommitted(session, row),
    )


def record_proof(
    session: Session,
    held: ProofClaim,
    state: DeliveryState,
    proven: Mapping[int, str],
    *,
    at: datetime,
) -> bool:
    """Record what a destination has proven; return whether all of the delivery is.

    Parameters
    ----------
    state : CONFIRMED or COMMITTED
    proven : id of a result object to the words for its proof
    """
    row = require_locked(session, Delivery, held.delivery_id)
    if row.version != held.version:
        return False
    for outcome in _outcomes(session, row, proven):
        outcome.outcome, outcome.status, outcome.at = (
            state.value,
            proven[outcome.result_object_id],
            at,
        )
    session.flush()
    is_committed = state is DeliveryState.COMMITTED
    unproven = _uncommitted(session, row) if is_committed else _unproven(session, row)
    # Archives may hide a note once they have heeded it.
    left = [one for one in unproven if not one.is_retraction]
    if left:
        return False
    event = Event.COMMIT if state is DeliveryState.COMMITTED else Event.CONFIRM
    apply(session, row, event, at=at, reason="", proof_due_at=None)
    return True


def ask_again(session: Session, held: ProofClaim, *, reason: str, due_at: datetime | None) -> None:
    """Have the question asked again later, or never more.

    Parameters
    ----------
    reason : in words, for people
    due_at : None if it is given up; the delivery stays accepted
    """
    row = require_locked(session, Delivery, held.delivery_id)
    if row.version == held.version and row.proof_attempts == held.attempt:
        _set(session, row, proof_due_at=due_at, reason=reason)


def is_time_to_send_again(held: ProofClaim, *, within_seconds: float, at: datetime) -> bool:
    """Return whether a destination has had its time to show what it has accepted."""
    waited = (at - held.accepted_at).total_seconds()
    return held.attempt >= _FEWEST_ATTEMPTS and waited >= within_seconds


def miss(
    session: Session, held: ProofClaim, missing: Collection[int], *, words: str, at: datetime
) -> DeliveryState | None:
    """Have objects sent again that a destination does not hold, or give up in the end.

    Parameters
    ----------
    missing : ids of result objects
    words : how that was found out, for people

    Returns
    -------
    DeliveryState or None
        The new state; None if the delivery went on meanwhile.
    """
    analysis_id = session.get_one(Delivery, held.delivery_id).analysis_id
    analysis = require_locked(session, Analysis, analysis_id)
    row = require_locked(session, Delivery, held.delivery_id)
    if row.version != held.version:
        return None
    if analysis.state is AnalysisState.SUPERSEDED:
        _set(session, row, proof_due_at=None, reason=_SUPERSEDED)
        return row.state
    for outcome in _outcomes(session, row, missing):
        outcome.outcome, outcome.status, outcome.at = MISSING, f"{outcome.status}, {words}", at
    reason = f"{NOT_KEPT}: the destination answered with success, and {words}"
    # Counted anew by whoever retries it.
    changes = {"proof_due_at": None, "proof_attempts": 0, "sent_again": 0}
    if row.sent_again >= SENT_AGAIN_AT_MOST:
        reason += f", also after it was sent {row.sent_again + 1} times"
        apply(session, row, Event.REFUSE, because=reason, at=at, reason=reason, **changes)
        return row.state
    changes |= {"sent_again": row.sent_again + 1, "attempts": 0}
    again = {"due_at": at, "created_at": at, "dispatched_at": None, "finished_at": None}
    apply(session, row, Event.MISS, because=reason, at=at, reason=reason, **changes, **again)
    return row.state


def _unproven(session: Session, row: Delivery) -> tuple[AcceptedObject, ...]:
    return _objects_with(session, row, ACCEPTED)


def _uncommitted(session: Session, row: Delivery) -> tuple[AcceptedObject, ...]:
    return _objects_with(session, row, ACCEPTED, DeliveryState.CONFIRMED.value)


def _objects_with(session: Session, row: Delivery, *words: str) -> tuple[AcceptedObject, ...]:
    query = (
        select(ResultObject)
        .join(DeliveryOutcome, DeliveryOutcome.result_object_id == ResultObject.id)
        .where(DeliveryOutcome.delivery_id == row.id, DeliveryOutcome.outcome.in_(words))
        .order_by(ResultObject.id)
    )
    return tuple(
        AcceptedObject(
            id=one.id,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            series_instance_uid=one.series_instance_uid,
            is_retraction=one.kind == ResultKind.REJECTION_NOTE,
        )
        for one in session.scalars(query)
    )


def _outcomes(session: Session, row: Delivery, ids: Collection[int]) -> list[DeliveryOutcome]:
    query = select(DeliveryOutcome).where(
        DeliveryOutcome.delivery_id == row.id,
        DeliveryOutcome.result_object_id.in_(list(ids)),
        DeliveryOutcome.outcome.in_(HELD_BY_ARCHIVE),
    )
    return list(session.scalars(query))


def _set(session: Session, row: Delivery, **values: object) -> None:
    # No transition and no new version: it is accepted before and after.
    session.execute(
        update(Delivery)
        .where(Delivery.id == row.id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    session.refresh(row)
