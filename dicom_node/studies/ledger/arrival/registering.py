"""Enters instances and their studies into the ledger."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dicom_node.errors import SetAsideError
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.facts.likeness import Sameness
from dicom_node.facts.priority import Priority
from dicom_node.facts.selection import MISSING_REASONS
from dicom_node.studies.ledger.arrival.correcting import (
    OTHER_CONTENT,
    Comparison,
    came_before,
    give_way,
    kept_twin,
    patients_of,
    require_place,
    restore_former,
    was_replaced,
)
from dicom_node.studies.ledger.arrival.priors import require_to_be_analysed
from dicom_node.studies.ledger.arrival.rejecting import NOTE, reject, require_not_rejected
from dicom_node.studies.ledger.arrival.reopening import open_again
from dicom_node.studies.ledger.identifiers.keeping import forget_without_files, noted
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import locking, require_locked
from dicom_node.studies.ledger.states import Event, InstanceState, StudyState
from dicom_node.studies.ledger.tables import Instance, ResultObject, Study
from dicom_node.studies.ledger.transitions import apply, begin

_KEPT_OF_AN_OBJECT: Final = (
    "sop_instance_uid",
    "sop_class_uid",
    "series_instance_uid",
    "transfer_syntax_uid",
    "laterality",
    "view_position",
    "presentation_intent",
    "acquisition",
    "left_out_reason",
)
"""Facts of an object that have a column with the same name."""

_TOLD_OF_AN_IMAGE: Final = (
    *(name for name in _KEPT_OF_AN_OBJECT if name != "transfer_syntax_uid"),
    "patient_digest",
)
"""What tells of an image whose file is gone whether it has been corrected since."""

KEPT_AGAIN: Final = "kept-again"
"""Reason of an image that came again after its file was removed, and says nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One received object before its header is read.

    Attributes
    ----------
    receipt : its name in the spool
    content_sha256 : 64 hexadecimal digits
        Of the data set without its file meta information.
    spool_id : number of the spool that holds it
    stored : `storing.Stored`
    """

    receipt: str
    received_at: datetime
    association: str
    calling_ae_title: str = ""
    size_bytes: int = 0
    content_sha256: str = ""
    spool_id: int = 1
    stored: int = 0


class Verdict(StrEnum):
    """How the ledger treats an arrival."""

    NEW = "new"
    REPEATED = "repeated"
    OWN_RESULT = "own_result"
    SET_ASIDE = "set_aside"
    CORRECTED = "corrected"
    REPLACED = "replaced"
    KEPT_AGAIN = "kept_again"
    UNDECIDED = "undecided"


def entered_among(session: Session, receipts: Collection[str]) -> list[Instance]:
    """Return the rows of those receipts that were entered."""
    return list(session.scalars(select(Instance).where(Instance.receipt.in_(receipts))))


def hold_studies(session: Session, study_instance_uids: Collection[str]) -> None:
    """Lock the studies that a batch touches, in one order for all, so that none waits for ever."""
    uids = sorted(set(study_instance_uids))
    query = select(Study).where(Study.study_instance_uid.in_(uids)).order_by(Study.id)
    session.scalars(locking(query)).all()


def hold_instances(session: Session, instance_ids: Collection[int]) -> list[Instance]:
    """Lock the instances of a batch and before them their studies, as `hold_studies` does."""
    query = select(Instance).where(Instance.id.in_(instance_ids)).order_by(Instance.id)
    studies = select(Instance.study_id).where(Instance.id.in_(instance_ids))
    session.scalars(locking(select(Study).where(Study.id.in_(studies)).order_by(Study.id))).all()
    return list(session.scalars(locking(query)))


def enter(
    session: Session,
    arrival: Arrival,
    facts: InstanceFacts,
    *,
    place: str,
    at: datetime,
    comparison: Comparison | None = None,
) -> Verdict:
    """Enter a mammogram before its file is moved to its place.

    Parameters
    ----------
    comparison : with the object that is kept under the same SOP Instance UID
        Without one, or with one that is no longer true, the verdict on another copy is undecided.

    Raises
    ------
    SetAsideError
        The study belongs to another patient, the SOP Instance UID is known with other content, a
        note has rejected the image, or it was fetched as a former one.
    """
    require_not_rejected(session, facts)
    require_to_be_analysed(session, facts)
    # What was set aside does not count: sent again, it may be acceptable now.
    twin = kept_twin(session, facts.sop_instance_uid)
    if twin is not None and twin.state is InstanceState.RECEIVED:
        is_equal = twin.content_sha256 == arrival.content_sha256
        return Verdict.REPEATED if is_equal else Verdict.UNDECIDED
    likeness = None if comparison is None or twin is None else comparison.likeness
    is_corrected = likeness is not None and likeness.verdict is Sameness.CORRECTED
    if twin is not None:
        if comparison is None or comparison.kept_id != twin.id:
            return Verdict.UNDECIDED
        if comparison.likeness.verdict is Sameness.REPEATED:
            return Verdict.REPEATED
        is_older = came_before(twin, arrival.receipt, spool_id=arrival.spool_id)
        if is_older and was_replaced(session, twin, arrival.content_sha256):
            return Verdict.REPEATED
        require_place(comparison.likeness)
        if is_older and is_corrected:
            raise SetAsideError(
                OTHER_CONTENT,
                "this SOP Instance UID was received later with other values "
                f"({', '.join(comparison.likeness.changed)}), which count: send this image again "
                "if its own are right",
            )
    study = _study_of(session, arrival, facts, at)
    if not is_corrected and not facts.patient.belongs_to(patients_of(session, study, but=twin)):
        raise SetAsideError(
            "two-patients", "the study of this Study Instance UID belongs to another patient"
        )
    study.version += 1
    # RECEIVED, with the place where it will be: after a crash the registrar finishes the move.
    row = _row(arrival, facts, study, InstanceState.RECEIVED, place)
    row.identifiers_id = _identifiers_of(session, study, facts)
    if twin is None or likeness is None:
        row.committed_at = _promised_since(session, facts)
        if _says_nothing_new(session, row):
            row.reason, row.detail = KEPT_AGAIN, "its file was removed before"
        begin(session, row, because=row.reason, at=at)
        return Verdict.KEPT_AGAIN if row.reason else Verdict.NEW
    # What was promised to its sender of an image holds of the one that takes its place.
    row.committed_at = twin.committed_at
    row.reason, row.detail = give_way(
        session, twin, study, likeness, received_at=arrival.received_at, at=at
    )
    begin(session, row, because=f"{row.reason}: {row.detail}", at=at)
    return Verdict.CORRECTED if is_corrected else Verdict.REPLACED


def confirm_filed(session: Session, instance: Instance, *, at: datetime) -> None:
    """Record that an instance's file is at its place; a settled study opens again."""
    # Settling decides on the study's images: it waits for this one, or this one opens it again.
    study = require_locked(session, Study, instance.study_id)
    if instance.state is not InstanceState.RECEIVED:
        return  # rejected by a note meanwhile
    apply(session, instance, Event.FILE, at=at)
    study.removed_at = None  # it has a file by now
    if instance.reason == KEPT_AGAIN and not study.remark:
        # Analysed and delivered before: sent again, as by an archive that hands on former
        # studies, it is kept for whoever wants to retry, and nothing is delivered twice.
        study.last_received_at = max(study.last_received_at, instance.received_at)
        study.version += 1
        return
    # Only now: an analysis that was due any earlier would not find the file.
    open_again(session, study, received_at=instance.received_at, at=at)


def confirm_lost(session: Session, instance: Instance, *, at: datetime) -> None:
    """Record that the file of an entered instance is gone; it may be sent again.

    What has given way to it counts again.
    """
    detail = "the file was gone before it reached its place"
    apply(
        session,
        instance,
        Event.SET_ASIDE,
        because=f"file-lost: {detail}",
        at=at,
        reason="file-lost",
        detail=detail,
        place="",
    )
    restore_former(session, instance, at=at)
    if instance.study_id is not None:
        forget_without_files(session, [instance.study_id])


def _says_nothing_new(session: Session, row: Instance) -> bool:
    """Return whether an image whose file was removed has come again, as far as its row tells.

    Its pixels and the rest of its header are compared with nothing: they are gone.
    """
    query = select(Instance).where(
        Instance.sop_instance_uid == row.sop_instance_uid,
        Instance.study_id == row.study_id,
        Instance.state == InstanceState.REMOVED,
    )
    former = session.scalars(query.order_by(Instance.id.desc())).first()
    return former is not None and all(
        getattr(former, name) == getattr(row, name) for name in _TOLD_OF_AN_IMAGE
    )


def enter_set_aside(
    session: Session,
    arrival: Arrival,
    facts: InstanceFacts | None,
    *,
    place: str,
    reason: str,
    detail: str,
    at: datetime,
) -> None:
    """Enter an object that is kept but not analysed, with its study if that can be read."""
    study = None if facts is None else _study_of(session, arrival, facts, at)
    if study is not None and facts is not None and reason in MISSING_REASONS:
        _open_for_missing(session, study, facts, received_at=arrival.received_at, at=at)
    row = _row(arrival, facts, study, InstanceState.SET_ASIDE, place)
    row.reason, row.detail = reason, detail
    if study is not None and facts is not None:
        row.identifiers_id = _identifiers_of(session, study, facts)
        row.committed_at = _promised_since(session, facts)
    begin(session, row, because=f"{reason}: {detail}", at=at)
    if study is not None and facts is not None and reason == NOTE:
        reject(session, study, facts, received_at=arrival.received_at, at=at)


def _promised_since(session: Session, facts: InstanceFacts) -> datetime | None:
    """Return since when an image is promised that comes again by `retry`; None if it is not.

    A note may have rejected it after its sender was told that it is kept.
    """
    query = select(func.min(Instance.committed_at)).where(
        Instance.sop_instance_uid == facts.sop_instance_uid,
        Instance.state == InstanceState.TAKEN_BACK,
        Instance.archived_at.is_(None),
    )
    return session.scalar(query)


def _open_for_missing(
    session: Session, study: Study, facts: InstanceFacts, *, received_at: datetime, at: datetime
) -> None:
    """Open the study again to report a missing image, unless the study has this one already."""
    query = select(Instance.id).where(
        Instance.study_id == study.id, Instance.sop_instance_uid == facts.sop_instance_uid
    )
    if session.scalars(query).first() is None:
        open_again(session, study, received_at=received_at, at=at)


def taken_back(session: Session, spool_id: int, *, limit: int) -> list[Instance]:
    """List objects of a spool that were taken back and whose files are not moved yet."""
    query = select(Instance).where(
        in_states(Instance, InstanceState.TAKEN_BACK),
        Instance.spool_id == spool_id,
        Instance.place != "",
    )
    return list(session.scalars(query.order_by(Instance.id).limit(limit)))


def confirm_removed(session: Session, instance_ids: Collection[int]) -> None:
    """Record that files of objects have left their places, and forget what they alone said."""
    # Locked: of what an image says that is registered just now, nothing is forgotten.
    of_these = select(Instance.study_id).where(Instance.id.in_(instance_ids))
    studies = session.scalars(
        locking(select(Study).where(Study.id.in_(of_these)).order_by(Study.id))
    ).all()
    session.execute(update(Instance).where(Instance.id.in_(instance_ids)).values(place=""))
    forget_without_files(session, [study.id for study in studies])


def is_set_aside_already(
    session: Session, arrival: Arrival, facts: InstanceFacts | None, *, reason: str
) -> bool:
    """Return whether an equal object is set aside, so that repeats do not fill the disk."""
    query = select(Instance.id).where(
        Instance.sop_instance_uid == ("" if facts is None else facts.sop_instance_uid),
        Instance.content_sha256 == arrival.content_sha256,
        Instance.state == InstanceState.SET_ASIDE,
        Instance.reason == reason,
        Instance.removed_at.is_(None),
    )
    return session.scalars(query).first() is not None


def is_own_result(session: Session, sop_instance_uid: str) -> bool:
    """Return whether this SOP Instance is a result that this node made."""
    query = select(ResultObject.id).where(ResultObject.sop_instance_uid == sop_instance_uid)
    return session.scalars(query).first() is not None


def _study_of(session: Session, arrival: Arrival, facts: InstanceFacts, at: datetime) -> Study:
    uid = facts.study_instance_uid
    query = select(Study).where(Study.study_instance_uid == uid)
    study = session.scalars(locking(query)).first()
    if study is not None:
        if facts.priority is not None:
            study.priority = max(study.priority, facts.priority)
        return study
    return begin(
        session,
        Study(
            study_instance_uid=uid,
            state=StudyState.OPEN,
            version=0,
            revision=0,
            remark="",
            calling_ae_title=arrival.calling_ae_title,
            spool_id=arrival.spool_id,
            priority=Priority.ROUTINE.value if facts.priority is None else facts.priority,
            patient_digest="",
            first_received_at=arrival.received_at,
            last_received_at=arrival.received_at,
        ),
        because="first object received",
        at=at,
    )


def _identifiers_of(session: Session, study: Study, facts: InstanceFacts) -> int | None:
    """Enter what an image says of patient and examination; the canary's phantom is nobody."""
    found = facts.identifiers
    if found is None or found.is_empty or study.study_instance_uid == CANARY_STUDY:
        return None
    return noted(session, study.id, found)


def _row(
    arrival: Arrival,
    facts: InstanceFacts | None,
    study: Study | None,
    state: InstanceState,
    place: str,
) -> Instance:
    columns = {} if facts is None else {name: getattr(facts, name) for name in _KEPT_OF_AN_OBJECT}
    return Instance(
        **asdict(arrival),
        **columns,
        study_id=None if study is None else study.id,
        patient_digest="" if facts is None else facts.patient.stored(),
        state=state,
        version=0,
        place=place,
    )
