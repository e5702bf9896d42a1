"""What an operator can request: retry a study, or stop its analysis."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError, RemovedError
from dicom_node.routing.route import DEFAULT_ROUTE, Route
from dicom_node.studies.ledger.due.due_work import count_dispatched
from dicom_node.studies.ledger.due.outcomes import lacking_products
from dicom_node.studies.ledger.locks import locking, require_locked
from dicom_node.studies.ledger.queries.reading import find_study
from dicom_node.studies.ledger.queries.remarks import removal_in_words
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    Event,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, Study
from dicom_node.studies.ledger.transitions import apply
from dicom_node.studies.settling import (
    begin_analysis,
    held_because,
    instances_of,
    remark_of,
    selection_of,
)

BY_HAND: Final = "requested by an operator"
"""What the history says of such a change."""


Wanted = Callable[[str, str], Collection[tuple[str, str]]]
"""What a destination of this name is sent by a profile: (kind, variant) of result objects."""


def retry_study(
    session: Session,
    study_instance_uid: str,
    *,
    at: datetime,
    wanted: Wanted = lambda *_: (),
    route: Route = DEFAULT_ROUTE,
    is_anew: bool = False,
) -> list[str]:
    """Retry a failed analysis, else undelivered results, else analyse and deliver again.

    Results that lack what a destination wants cannot be delivered by another attempt: the study
    is analysed again.

    Parameters
    ----------
    route : what the rules say of the study now
    is_anew : analyse again, whatever else could be retried

    Returns
    -------
    list of str
        What will happen, one sentence each; empty if nothing can.

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    RemovedError
        It could only be analysed again, and files of its images were removed.
    NodeError
        The rules do not have it analysed.
    """
    study = _held_study(session, study_instance_uid)
    if study.state is StudyState.OPEN:
        return []
    analysis = _newest_analysis(session, study)
    if analysis is None:
        return _analyse_anew(session, study, at, route)
    if analysis.state in {AnalysisState.FAILED, AnalysisState.CANCELLED}:
        _require_taken(route)
        changes = {**fresh(at), "rule": route.rule, "route": route.to_json()}
        apply(session, analysis, Event.RETRY, because=BY_HAND, at=at, **changes)
        return [
            f"analysis of revision {analysis.revision} is due again{_behind(session, analysis)}"
        ]
    if analysis.state is not AnalysisState.DONE:
        return []
    if is_anew or _is_lacking(session, analysis, wanted):
        return _analyse_anew(session, study, at, route)
    return _retry_deliveries(session, analysis, at) or _analyse_anew(session, study, at, route)


def judge_again(session: Session, study_instance_uid: str, *, at: datetime) -> list[str]:
    """Give a study's set-aside objects to the registrar again, as if they arrived now.

    The registrar moves their files after this is committed: before, it would take them for
    repeats of what is set aside.

    Returns
    -------
    list of str
        One sentence for each object.
    """
    study = _held_study(session, study_instance_uid)
    query = select(Instance).where(
        Instance.study_id == study.id, Instance.state == InstanceState.SET_ASIDE
    )
    done = []
    for row in session.scalars(locking(query.order_by(Instance.id))).all():
        if row.removed_at is not None:
            continue  # nothing is left to judge
        apply(session, row, Event.RETRY, because=BY_HAND, at=at)
        if row.place:  # no file belongs to what was lost on its way to its place
            done.append(f"{row.sop_instance_uid} ({row.reason}) is registered again")
    return done


def cancel_study(session: Session, study_instance_uid: str, *, at: datetime) -> list[str]:
    """Stop the analysis of a study that is due or running."""
    study = _held_study(session, study_instance_uid)
    analysis = _newest_analysis(session, study)
    if analysis is None or analysis.state not in {AnalysisState.DUE, AnalysisState.RUNNING}:
        return []
    apply(session, analysis, Event.CANCEL, because=BY_HAND, at=at, reason=BY_HAND, finished_at=at)
    return [f"analysis of revision {analysis.revision} is cancelled"]


def _held_study(session: Session, study_instance_uid: str) -> Study:
    """Lock the study, so that what is requested is decided on what it is now."""
    return require_locked(session, Study, find_study(session, study_instance_uid).id)


def _newest_analysis(session: Session, study: Study) -> Analysis | None:
    query = select(Analysis).where(Analysis.study_id == study.id)
    query = query.order_by(Analysis.revision.desc()).limit(1)
    return session.scalars(locking(query)).first()


def _is_lacking(session: Session, analysis: Analysis, wanted: Wanted) -> bool:
    query = select(Delivery).where(
        Delivery.analysis_id == analysis.id, Delivery.state == DeliveryState.REFUSED
    )
    return any(
        lacking_products(session, delivery, wanted(delivery.destination, delivery.profile))
        for delivery in session.scalars(query).all()
    )


def _retry_deliveries(session: Session, analysis: Analysis, at: datetime) -> list[str]:
    done = []
    query = select(Delivery).where(Delivery.analysis_id == analysis.id)
    for delivery in session.scalars(locking(query.order_by(Delivery.id))).all():
        if delivery.state in {DeliveryState.REFUSED, DeliveryState.EXPIRED, DeliveryState.HELD}:
            # The time until it expires starts again with this request.
            changes = {**fresh(at), "created_at": at}
            apply(session, delivery, Event.RETRY, because=BY_HAND, at=at, **changes)
            waits = _behind(session, delivery)
            done.append(f"delivery to {delivery.destination} is due again{waits}")
        elif delivery.state is DeliveryState.DUE:
            # As new, so that it passes everything that failed before.
            delivery.due_at, delivery.dispatched_at, delivery.attempts = at, None, 0
            done.append(
                f"delivery to {delivery.destination} is due now{_behind(session, delivery)}"
            )
        elif delivery.state is DeliveryState.ACCEPTED and delivery.reason:
            # It has accepted everything, and could not prove it so far.
            delivery.proof_due_at, delivery.proof_attempts = at, 0
            done.append(f"{delivery.destination} is asked again for what it has accepted")
        elif delivery.state is DeliveryState.SENDING:
            done.append(f"delivery to {delivery.destination} is under way")
    return done


def _require_taken(route: Route) -> None:
    if why := remark_of(route):
        raise NodeError(f"not analysed: {why}")


def _analyse_anew(session: Session, study: Study, at: datetime, route: Route) -> list[str]:
    if removed := removal_in_words(session, study):
        raise RemovedError(
            f"{removed}. Send the whole study again from the archive or scanner that has it, then "
            "repeat this command"
        )
    if not selection_of(session, study).chosen or held_because(study, instances_of(session, study)):
        return []
    _require_taken(route)
    study.remark = ""
    analysis = begin_analysis(session, study, because=BY_HAND, at=at, route=route)
    return [f"analysis of revision {analysis.revision} is due{_behind(session, analysis)}"]


def _behind(session: Session, due: Analysis | Delivery) -> str:
    """Say what is in the queue before this: as the newest it passes all that is not yet in it."""
    session.flush()
    if isinstance(due, Analysis):
        return _in_words(count_dispatched(session, Analysis), "analysis", "analyses")
    told = count_dispatched(session, Delivery, due.destination)
    return _in_words(told, "delivery", "deliveries")


def _in_words(told: int, one: str, many: str) -> str:
    if not told:
        return ""
    return f", after {told} {one if told == 1 else many} in the queue"


def fresh(at: datetime) -> dict[str, object]:
    """Return the columns of work that is due as if it were new."""
    return {"attempts": 0, "due_at": at, "dispatched_at": None, "reason": "", "finished_at": None}
