"""Puts a received image in the place of the one that was kept under its SOP Instance UID.

The former one's file stays until the new one has reached its place (`replaced_files`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import literal_column, select
from sqlalchemy.orm import Session, aliased

from dicom_node.errors import SetAsideError
from dicom_node.facts.identity import KEYWORDS
from dicom_node.facts.likeness import Likeness, Sameness
from dicom_node.studies.ledger.arrival.reopening import open_again
from dicom_node.studies.ledger.due.outcomes import supersede_answer
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.states import AnalysisState, Event, InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study
from dicom_node.studies.ledger.transitions import apply

OTHER_CONTENT: Final = "same-uid-other-content"
CORRECTED: Final = "corrected"
_READABLE: Final = "replaces-unreadable"
_KEPT: Final = (InstanceState.RECEIVED, InstanceState.REGISTERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How an arrival compares with the kept instance of the same SOP Instance UID."""

    kept_id: int
    likeness: Likeness


def kept_twin(session: Session, sop_instance_uid: str) -> Instance | None:
    """Return the one instance that is kept under a SOP Instance UID."""
    query = select(Instance).where(
        Instance.sop_instance_uid == sop_instance_uid, Instance.state.in_(_KEPT)
    )
    return session.scalars(query).first()


def kept_among(session: Session, sop_instance_uids: Collection[str]) -> list[Instance]:
    """Return the instances that are kept under some SOP Instance UIDs."""
    # Literals and no parameters: only so does SQLite see that the index of kept instances holds
    # the answer. By the index of states it would read every instance that was ever registered.
    kept = Instance.state.in_([literal_column(f"'{state.value}'") for state in _KEPT])
    query = select(Instance).where(Instance.sop_instance_uid.in_(sop_instance_uids), kept)
    return list(session.scalars(query))


def former_refusal(session: Session, twin: Instance, content_sha256: str) -> str:
    """Return why this content was set aside beside its twin before; empty if it was not."""
    query = select(Instance.detail).where(
        Instance.sop_instance_uid == twin.sop_instance_uid,
        Instance.content_sha256 == content_sha256,
        Instance.state == InstanceState.SET_ASIDE,
        Instance.reason == OTHER_CONTENT,
        Instance.id > twin.id,
    )
    return session.scalars(query).first() or ""


def came_before(twin: Instance, receipt: str, *, spool_id: int) -> bool:
    """Return whether a copy came into its spool before the instance that is kept.

    A copy that was dropped is there again after a power cut before the disk had noted that, and
    one that was set aside after a retry. Receipts of two nodes tell of no order.
    """
    return twin.spool_id == spool_id and receipt < twin.receipt


def was_replaced(session: Session, twin: Instance, content_sha256: str) -> bool:
    """Return whether an instance of this content has given way under the same SOP Instance UID."""
    query = select(Instance.id).where(
        Instance.sop_instance_uid == twin.sop_instance_uid,
        Instance.content_sha256 == content_sha256,
        Instance.state == InstanceState.REPLACED,
    )
    return session.scalars(query.limit(1)).first() is not None


def require_place(likeness: Likeness) -> None:
    """Make sure that an arrival may take the place of its twin.

    Raises
    ------
    SetAsideError
        It shows something else, or it cannot be read.
    """
    if likeness.verdict not in {Sameness.NEW_UNREADABLE, Sameness.DIFFERENT}:
        return
    is_damaged = likeness.verdict is Sameness.NEW_UNREADABLE
    why = f"and this copy cannot be read: {likeness.detail}" if is_damaged else likeness.detail
    raise SetAsideError(
        "same-uid-other-content", f"this SOP Instance UID was received before, {why}"
    )


def patients_of(session: Session, study: Study, *, but: Instance | None = None) -> list[str]:
    """Return whose the images of a study are, as digests; those whose files were removed too."""
    query = select(Instance.id, Instance.patient_digest).where(
        Instance.study_id == study.id, Instance.state.in_((*_KEPT, InstanceState.REMOVED))
    )
    return [
        digest or study.patient_digest
        for instance_id, digest in session.execute(query)
        if but is None or instance_id != but.id
    ]


def give_way(
    session: Session,
    twin: Instance,
    study: Study,
    likeness: Likeness,
    *,
    received_at: datetime,
    at: datetime,
) -> tuple[str, str]:
    """Let an instance give way to a newer copy; its study opens again at once.

    Returns
    -------
    reason, detail
        For the row of the copy.
    """
    if likeness.verdict is Sameness.CORRECTED:
        reason, detail = CORRECTED, ", ".join(likeness.changed)
        because = f"an image was corrected: {detail}"
    else:
        reason, detail = _READABLE, likeness.detail
        because = f"an image that cannot be read was sent again: {detail}"
    apply(session, twin, Event.REPLACE, because=because, at=at)
    # Before its file is at its place: an analysis would miss the image in between.
    open_again(session, study, received_at=received_at, at=at, because=because)
    if not set(KEYWORDS).isdisjoint(likeness.changed):
        _withdraw_answers(session, study, at=at)
        _judge_other_patients_again(session, study, at=at)
    return reason, detail


def _withdraw_answers(session: Session, study: Study, *, at: datetime) -> None:
    """Send nothing more under the name of the patient that the study was corrected from."""
    done = select(Analysis).where(
        Analysis.study_id == study.id, Analysis.state == AnalysisState.DONE
    )
    for analysis in session.scalars(locking(done)).all():
        because = "the patient was corrected since"
        supersede_answer(session, analysis, because=because, at=at)


def _judge_other_patients_again(session: Session, study: Study, *, at: datetime) -> None:
    """Let what was set aside as another patient's be registered anew: it may be this one's now."""
    query = select(Instance).where(
        Instance.study_id == study.id,
        Instance.state == InstanceState.SET_ASIDE,
        Instance.reason == "two-patients",
        Instance.removed_at.is_(None),
    )
    for row in session.scalars(locking(query.order_by(Instance.id))).all():
        apply(session, row, Event.RETRY, because="the patient of its study was corrected", at=at)


def restore_former(session: Session, lost: Instance, *, at: datetime) -> None:
    """Let the instance count again that gave way to one whose file is lost."""
    query = select(Instance).where(
        Instance.sop_instance_uid == lost.sop_instance_uid,
        Instance.state == InstanceState.REPLACED,
        Instance.place != "",
    )
    former = session.scalars(locking(query.order_by(Instance.id.desc()))).first()
    if former is not None:
        apply(session, former, Event.RESTORE, because="the copy that replaced it is lost", at=at)


def replaced_files(session: Session, spool_id: int, *, limit: int) -> list[Instance]:
    """List instances of a spool whose files are not needed: the newer copy is at its place."""
    newer = aliased(Instance)
    is_on_its_way = (
        select(newer.id)
        .where(
            newer.sop_instance_uid == Instance.sop_instance_uid,
            newer.state == InstanceState.RECEIVED,
        )
        .exists()
    )
    query = select(Instance).where(
        in_states(Instance, InstanceState.REPLACED),
        Instance.spool_id == spool_id,
        Instance.place != "",
        ~is_on_its_way,
    )
    return list(session.scalars(query.order_by(Instance.id).limit(limit)))
