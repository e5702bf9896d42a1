"""What an operator can request: retry a study, or stop its analysis."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.reading import find_study
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    Event,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, Study
from dicom_node.studies.ledger.transitions import apply
from dicom_node.studies.settling import begin_analysis, selection_of

_BY_HAND = "requested by an operator"


def retry_study(session: Session, study_instance_uid: str, *, at: datetime) -> list[str]:
    """Retry a failed analysis, else undelivered results, else analyse and deliver again.

    Returns
    -------
    list of str
        What will happen, one sentence each; empty if nothing can.

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    """
    study = find_study(session, study_instance_uid)
    if study.state is StudyState.OPEN:
        return []
    analysis = _newest_analysis(session, study)
    if analysis is None:
        return _analyse_anew(session, study, at)
    if analysis.state in {AnalysisState.FAILED, AnalysisState.CANCELLED}:
        apply(session, analysis, Event.RETRY, because=_BY_HAND, at=at, **_fresh(at))
        return [f"analysis of revision {analysis.revision} is due again"]
    if analysis.state is not AnalysisState.DONE:
        return []
    return _retry_deliveries(session, analysis, at) or _analyse_anew(session, study, at)


def judge_again(session: Session, spool: Spool, study_instance_uid: str) -> list[str]:
    """Give a study's set-aside objects to the registrar again, as if they arrived now.

    Returns
    -------
    list of str
        One sentence for each object.
    """
    study = find_study(session, study_instance_uid)
    rows = session.scalars(
        select(Instance).where(
            Instance.study_id == study.id,
            Instance.state == InstanceState.SET_ASIDE,
            Instance.place != "",
        )
    )
    done = []
    for row in list(rows):
        if spool.take_back(row.place) is not None:
            done.append(f"{row.sop_instance_uid} ({row.reason}) is registered again")
        row.place = ""
    return done


def cancel_study(session: Session, study_instance_uid: str, *, at: datetime) -> list[str]:
    """Stop the analysis of a study that is due or running."""
    study = find_study(session, study_instance_uid)
    analysis = _newest_analysis(session, study)
    if analysis is None or analysis.state not in {AnalysisState.DUE, AnalysisState.RUNNING}:
        return []
    apply(session, analysis, Event.CANCEL, because=_BY_HAND, at=at, reason=_BY_HAND, finished_at=at)
    return [f"analysis of revision {analysis.revision} is cancelled"]


def _newest_analysis(session: Session, study: Study) -> Analysis | None:
    query = select(Analysis).where(Analysis.study_id == study.id)
    return session.scalars(query.order_by(Analysis.revision.desc())).first()


def _retry_deliveries(session: Session, analysis: Analysis, at: datetime) -> list[str]:
    done = []
    query = select(Delivery).where(Delivery.analysis_id == analysis.id)
    for delivery in list(session.scalars(query)):
        if delivery.state in {DeliveryState.REFUSED, DeliveryState.EXPIRED}:
            # The time until it expires starts again with this request.
            fresh = {**_fresh(at), "created_at": at}
            apply(session, delivery, Event.RETRY, because=_BY_HAND, at=at, **fresh)
            done.append(f"delivery to {delivery.destination} is due again")
        elif delivery.state is DeliveryState.DUE:
            delivery.due_at, delivery.dispatched_at = at, None
            done.append(f"delivery to {delivery.destination} is tried now")
        elif delivery.state is DeliveryState.SENDING:
            done.append(f"delivery to {delivery.destination} is under way")
    return done


def _analyse_anew(session: Session, study: Study, at: datetime) -> list[str]:
    if not selection_of(session, study).chosen:
        return []
    analysis = begin_analysis(session, study, because=_BY_HAND, at=at)
    return [f"analysis of revision {analysis.revision} is due"]


def _fresh(at: datetime) -> dict[str, object]:
    return {"attempts": 0, "due_at": at, "dispatched_at": None, "reason": "", "finished_at": None}
