"""Takes images out of their study that an archive has rejected, now or when they come."""

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import SetAsideError
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.facts.rejection_note import MAY_COME_AGAIN, REASONS
from dicom_node.studies.ledger.arrival.reopening import open_again
from dicom_node.studies.ledger.due.outcomes import supersede_answer
from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.site_tables import Rejection
from dicom_node.studies.ledger.states import AnalysisState, Event, InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject, Study
from dicom_node.studies.ledger.transitions import apply

NOTE: Final = "rejection-note"
"""Reason for which a rejection note itself is set aside."""

REJECTED: Final = "rejected"
"""Reason for which an image is set aside that a note rejects."""

_KEPT: Final = (InstanceState.RECEIVED, InstanceState.REGISTERED, InstanceState.REMOVED)


def reject(
    session: Session, study: Study, facts: InstanceFacts, *, received_at: datetime, at: datetime
) -> None:
    """Take the images that a note names out of their study, and remember those that are not there.

    The study, locked by the caller, opens again if it loses one; its answers are sent no more.
    """
    known = set(
        session.scalars(
            select(Rejection.sop_instance_uid).where(
                Rejection.study_id == study.id, Rejection.code == facts.rejection
            )
        )
    )
    session.add_all(
        Rejection(study_id=study.id, sop_instance_uid=uid, code=facts.rejection, at=at)
        for uid in facts.rejected
        if uid not in known
    )
    named = set(facts.rejected)
    query = select(Instance).where(Instance.study_id == study.id, Instance.state.in_(_KEPT))
    taken = [
        row
        for row in session.scalars(locking(query.order_by(Instance.id)))
        if row.sop_instance_uid in named
    ]
    detail = _in_words(facts.rejection)
    for row in taken:
        because = f"{REJECTED}: {detail}"
        apply(session, row, Event.SET_ASIDE, because=because, at=at, reason=REJECTED, detail=detail)
    if not taken:
        return
    because = f"{len(taken)} of its images were rejected: {REASONS[facts.rejection]}"
    open_again(session, study, received_at=received_at, at=at, because=because)
    done = select(Analysis).where(
        Analysis.study_id == study.id, Analysis.state == AnalysisState.DONE
    )
    for analysis in session.scalars(locking(done)).all():
        supersede_answer(session, analysis, because=because, at=at)


def require_not_rejected(session: Session, facts: InstanceFacts) -> None:
    """Refuse an image that a note has rejected before it came.

    Raises
    ------
    SetAsideError
    """
    query = (
        select(Rejection.code)
        .join(Study, Study.id == Rejection.study_id)
        .where(
            Rejection.sop_instance_uid == facts.sop_instance_uid,
            Study.study_instance_uid == facts.study_instance_uid,
            Rejection.code.not_in(MAY_COME_AGAIN),
        )
    )
    code = session.scalars(query.order_by(Rejection.id)).first()
    if code is not None:
        raise SetAsideError("rejected", _in_words(code))


def is_to_be_retracted(session: Session, study: Study, instances: list[Instance]) -> bool:
    """Return whether nothing is left of a study but results of images that were rejected."""
    if not any(row.reason == REJECTED for row in instances):
        return False
    results = select(ResultObject.id).join(Analysis).where(Analysis.study_id == study.id)
    return session.scalars(results.limit(1)).first() is not None


def _in_words(code: str) -> str:
    return f"the image was rejected by a note: {REASONS[code]}"
