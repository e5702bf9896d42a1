"""What workers record at the end of an analysis or a delivery."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.routing.route import Recipient
from dicom_node.studies.ledger.due.doubt import put_off_in_doubt
from dicom_node.studies.ledger.due.work import Claim, held_row
from dicom_node.studies.ledger.locks import locking, require_locked
from dicom_node.studies.ledger.states import TAKEN, AnalysisState, DeliveryState, Event
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    ResultObject,
    Study,
)
from dicom_node.studies.ledger.transitions import apply, begin

ACCEPTED: Final = DeliveryState.ACCEPTED.value
HELD_BY_ARCHIVE: Final = tuple(state.value for state in TAKEN)
"""Outcomes of objects that a destination has taken, as far as is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeResult:
    """One result object in the spool.

    Attributes
    ----------
    kind : ``measurement_report``, ``segmentation`` and so on
    variant : distinguishes forms of the same kind; may be empty
    place : relative to the spool's root
    sha256 : of the file; empty if unknown
    stored : `storing.Stored`
    """

    kind: str
    variant: str = ""
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    place: str
    sha256: str = ""
    stored: int = 0


def finish_analysis(
    session: Session,
    held: Claim,
    *,
    findings: str,
    bundle: str,
    results: Sequence[MadeResult],
    destinations: Collection[str] = (),
    recipients: Collection[Recipient] = (),
    result_rules: Sequence[str] = (),
    priority: int = 0,
    at: datetime,
    results_key: str = "",
) -> list[Delivery]:
    """Record the findings and result objects of an analysis, and make their deliveries due.

    Parameters
    ----------
    destinations, recipients : names, and destinations with a profile that a rule says
    result_rules : names of the rules on results that have added to the answer
    priority : of the deliveries at least
    results_key : SHA-256 of everything that the results were made of

    Raises
    ------
    OvertakenError
        The claim is no longer valid; nothing is recorded.
    """
    # Answer, result objects and deliveries are one transaction: after a crash the analysis is
    # either unfinished and tried again, or finished with everything that is to be sent.
    # The study first, as whoever registers its images does: they supersede this analysis, or it
    # has ended before they open the study again.
    study = require_locked(session, Study, session.get_one(Analysis, held.id).study_id)
    analysis = held_row(session, Analysis, held)
    apply(
        session,
        analysis,
        Event.FINISH,
        because=f"{len(results)} result objects",
        at=at,
        findings=findings,
        bundle=bundle,
        results_key=results_key,
        result_rules=", ".join(result_rules),
        reason="",
        finished_at=at,
    )
    study.priority = max(study.priority, priority)
    session.add_all(
        ResultObject(
            analysis_id=analysis.id,
            kind=result.kind,
            variant=result.variant,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
            series_instance_uid=result.series_instance_uid,
            place=result.place,
            sha256=result.sha256,
            stored=result.stored,
        )
        for result in results
    )
    _supersede_earlier(session, analysis, at)
    return [
        begin(
            session,
            Delivery(
                analysis_id=analysis.id,
                destination=recipient.name,
                profile=recipient.profile,
                state=DeliveryState.DUE,
                version=0,
                attempts=0,
                priority=study.priority,
                due_at=at,
                created_at=at,
                lease_holder="",
                reason="",
            ),
            at=at,
        )
        for recipient in (*map(Recipient, destinations), *recipients)
    ]


def fail_analysis(session: Session, held: Claim, *, reason: str, at: datetime) -> None:
    """Record that an analysis failed for good."""
    row = held_row(session, Analysis, held)
    apply(session, row, Event.FAIL, because=reason, at=at, reason=reason, finished_at=at)


def give_up_analysis(session: Session, held: Claim, *, reason: str, at: datetime) -> str:
    """Record that an analysis failed for good, if its worker was tested before this attempt.

    Else it is put off, and the attempt does not count: returns why, or an empty text.
    """
    row = held_row(session, Analysis, held)
    put_off = put_off_in_doubt(session, row.id, reason, at=at)
    if put_off is None:
        fail_analysis(session, held, reason=reason, at=at)
        return ""
    give_back_analysis(
        session, held, reason=put_off.reason, due_at=put_off.due_at, at=at, counted=False
    )
    return put_off.reason


def give_back_analysis(
    session: Session,
    held: Claim,
    *,
    reason: str,
    due_at: datetime,
    at: datetime,
    counted: bool = True,
) -> None:
    """Make an analysis due again after an error that may pass.

    Parameters
    ----------
    counted : bool
        False if the cause is the site and not the study: the attempt does not count.
    """
    row = held_row(session, Analysis, held)
    # Not dispatched, since the message of this attempt is used up: the next is sent at `due_at`.
    changes = {"reason": reason, "due_at": due_at, "dispatched_at": None}
    changes["attempts"] = row.attempts if counted else row.attempts - 1
    apply(session, row, Event.GIVE_BACK, because=reason, at=at, **changes)


def undelivered(
    session: Session, delivery: Delivery, wanted: Collection[tuple[str, str]]
) -> list[ResultObject]:
    """List the wanted result objects that the destination has not accepted yet.

    Parameters
    ----------
    wanted : (kind, variant)
    """
    taken = select(DeliveryOutcome.result_object_id).where(
        DeliveryOutcome.delivery_id == delivery.id, DeliveryOutcome.outcome.in_(HELD_BY_ARCHIVE)
    )
    rows = session.scalars(
        select(ResultObject)
        .where(ResultObject.analysis_id == delivery.analysis_id, ResultObject.id.not_in(taken))
        .order_by(ResultObject.id)
    )
    return [row for row in rows if (row.kind, row.variant) in wanted]


def results_spool(session: Session, delivery: Delivery) -> int:
    """Return the number of the spool in which the results of a delivery lie."""
    query = select(Study.spool_id).join(Analysis).where(Analysis.id == delivery.analysis_id)
    return session.scalars(query).one()


def lacking_products(
    session: Session, delivery: Delivery, wanted: Collection[tuple[str, str]]
) -> list[str]:
    """Return the kinds that a destination wants and the analysis should have made and did not.

    Parameters
    ----------
    wanted : (kind, variant)
    """
    rows = session.scalars(
        select(ResultObject).where(ResultObject.analysis_id == delivery.analysis_id)
    )
    made = {(row.kind, row.variant) for row in rows}
    return sorted(
        {kind for kind, _ in set(wanted) - made if not ResultKind(kind).row.may_be_absent}
    )


def record_outcome(
    session: Session, held: Claim, result_object_id: int, *, outcome: str, status: str, at: datetime
) -> None:
    """Record the answer of the destination for one result object."""
    # Whoever holds the lease: the archive has the object once it has accepted it. The delivery is
    # locked, so that two that send the same object at once do not both add a row.
    require_locked(session, Delivery, held.id)
    row = session.scalars(
        select(DeliveryOutcome).where(
            DeliveryOutcome.delivery_id == held.id,
            DeliveryOutcome.result_object_id == result_object_id,
        )
    ).first()
    if row is None:
        row = DeliveryOutcome(delivery_id=held.id, result_object_id=result_object_id)
        session.add(row)
    # A worker that was overtaken may hear later, and worse: that takes nothing from the archive.
    elif row.outcome in HELD_BY_ARCHIVE:
        return
    row.outcome, row.status, row.at = outcome, status, at


def lock_delivery(session: Session, held: Claim) -> None:
    """Lock a delivery that is still held, and its analysis before it, until the transaction ends.

    Raises
    ------
    OvertakenError
        It was superseded, or its lease was lost.
    """
    analysis_id = session.get_one(Delivery, held.id).analysis_id
    require_locked(session, Analysis, analysis_id)
    held_row(session, Delivery, held)


def finish_delivery(
    session: Session, held: Claim, *, at: datetime, is_proof_wanted: bool = False
) -> None:
    """Record that the destination has accepted every object, and is to be asked for them or not."""
    row = held_row(session, Delivery, held)
    asked: dict[str, Any] = {
        "proof_due_at": at if is_proof_wanted else None,
        "proof_attempts": 0,
    }
    apply(session, row, Event.DELIVER, at=at, reason="", finished_at=at, **asked)


def refuse_delivery(session: Session, held: Claim, *, reason: str, at: datetime) -> None:
    """Record that the destination refused the results, without further attempts."""
    row = held_row(session, Delivery, held)
    apply(session, row, Event.REFUSE, because=reason, at=at, reason=reason, finished_at=at)


def hold_delivery(session: Session, held: Claim, *, reason: str, at: datetime) -> None:
    """Record that everything is ready to be sent, and is not sent until somebody asks for it."""
    row = held_row(session, Delivery, held)
    apply(session, row, Event.HOLD, because=reason, at=at, reason=reason, finished_at=at)


def expire_delivery(session: Session, held: Claim, *, reason: str, at: datetime) -> None:
    """Record that a delivery has expired."""
    row = held_row(session, Delivery, held)
    apply(session, row, Event.EXPIRE, because=reason, at=at, reason=reason, finished_at=at)


def postpone_delivery(
    session: Session,
    held: Claim,
    *,
    reason: str,
    due_at: datetime,
    at: datetime,
    counted: bool = True,
) -> None:
    """Make a delivery due again later, or let it expire if a later revision superseded it.

    Parameters
    ----------
    counted : bool
        False if this side broke it off: the wait after the next failure grows no longer by it.
    """
    # The analysis first: a later revision that is just being finished gives up what waits.
    analysis_id = session.get_one(Delivery, held.id).analysis_id
    analysis = require_locked(session, Analysis, analysis_id)
    row = held_row(session, Delivery, held)
    if analysis.state is AnalysisState.SUPERSEDED:
        reason = f"superseded by a later revision; {reason}"
        expire_delivery(session, held, reason=reason, at=at)
        return
    changes = {"reason": reason, "due_at": due_at, "dispatched_at": None}
    changes["attempts"] = row.attempts if counted else row.attempts - 1
    apply(session, row, Event.POSTPONE, because=reason, at=at, **changes)


def give_back_unfinished(
    session: Session, delivery_id: int, *, holder: str, reason: str, due_at: datetime, at: datetime
) -> bool:
    """Make a delivery due again that its holder will not finish; return whether it still had it."""
    row = session.get(Delivery, delivery_id)
    if row is None or row.state is not DeliveryState.SENDING or row.lease_holder != holder:
        return False
    held = Claim(id=row.id, version=row.version, attempt=row.attempts, holder=holder)
    postpone_delivery(session, held, reason=reason, due_at=due_at, at=at, counted=False)
    return True


def study_of(session: Session, analysis: Analysis) -> Study:
    """Return the study that an analysis belongs to."""
    return session.get_one(Study, analysis.study_id)


def _supersede_earlier(session: Session, analysis: Analysis, at: datetime) -> None:
    because = f"superseded by revision {analysis.revision}"
    earlier = select(Analysis).where(
        Analysis.study_id == analysis.study_id,
        Analysis.revision < analysis.revision,
        Analysis.state == AnalysisState.DONE,
    )
    for former in session.scalars(locking(earlier)).all():
        supersede_answer(session, former, because=because, at=at)


def supersede_answer(session: Session, former: Analysis, *, because: str, at: datetime) -> None:
    """Give up an analysis that has an answer, and its deliveries that wait."""
    apply(session, former, Event.SUPERSEDE, because=because, at=at)
    # A delivery under way is left to its worker: if it fails, postpone_delivery gives it up.
    waiting = select(Delivery).where(
        Delivery.analysis_id == former.id,
        Delivery.state.in_([DeliveryState.DUE, DeliveryState.HELD]),
    )
    for delivery in session.scalars(locking(waiting)).all():
        apply(session, delivery, Event.SUPERSEDE, because=because, at=at, reason=because)
