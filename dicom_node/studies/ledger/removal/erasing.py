"""Erases what the ledger holds of a study; its rows stay, without anything that identifies it."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset
from sqlalchemy import String, and_, cast, delete, func, literal, or_, select, update
from sqlalchemy.orm import Session

from dicom_node.errors import LedgerError
from dicom_node.facts.identity import PatientDigest, is_one_patient
from dicom_node.studies.ledger.assessments import assessments_of
from dicom_node.studies.ledger.identifiers.identifier_table import StudyIdentifiers
from dicom_node.studies.ledger.locks import locking, require_locked
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.procedure_steps.announcements import erase_announcements
from dicom_node.studies.ledger.procedure_steps.workitems import erase_workitems
from dicom_node.studies.ledger.queries.reading import find_study
from dicom_node.studies.ledger.site_tables import CommitmentItem, Rejection, ShadowAnalysis
from dicom_node.studies.ledger.states import (
    TAKEN,
    AnalysisState,
    DeliveryState,
    Event,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.storing import IN_STORE
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    Instance,
    ResultObject,
    Study,
    Transition,
)
from dicom_node.studies.ledger.transitions import apply

ERASED: Final = "erased"

_OF_AN_IMAGE: Final = (
    "detail",
    "content_sha256",
    "sop_instance_uid",
    "series_instance_uid",
    "laterality",
    "view_position",
    "patient_digest",
    "left_out_reason",
)
"""Columns of an instance that tell something of the patient or the image."""


class UnderWayError(LedgerError):
    """Something of the study is under way."""

    reason = "under-way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is kept of one study.

    Attributes
    ----------
    committed : images that the node has committed to keep, and that no archive is known to have
    delivered_to : names of the destinations that have results of it
    under_way : what is being done with it, in words; empty if nothing is
    """

    study_id: int
    study_instance_uid: str
    images: int
    committed: int
    set_aside: int
    results: int
    size_bytes: int
    delivered_to: tuple[str, ...]
    under_way: str


def holding(session: Session, study_instance_uid: str) -> Holding:
    """Return what is kept of a study.

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    """
    study = find_study(session, study_instance_uid)
    instances = session.scalars(select(Instance).where(Instance.study_id == study.id)).all()
    there = [row for row in instances if row.place]
    analyses = session.scalars(select(Analysis).where(Analysis.study_id == study.id)).all()
    ids = [row.id for row in analyses]
    results = select(func.count(ResultObject.id)).where(
        ResultObject.analysis_id.in_(ids), ResultObject.place != ""
    )
    deliveries = session.scalars(select(Delivery).where(Delivery.analysis_id.in_(ids))).all()
    has_taken = session.scalars(
        select(Delivery.destination)
        .join(DeliveryOutcome)
        .where(Delivery.analysis_id.in_(ids), DeliveryOutcome.outcome.in_(TAKEN))
        .distinct()
    )
    taken = {*has_taken, *(d.destination for d in deliveries if d.state in TAKEN)}
    busy = [
        *(f"analysis of revision {a.revision} is {a.state.value}" for a in analyses if _is_busy(a)),
        *(f"delivery to {d.destination} is {d.state.value}" for d in deliveries if _is_busy(d)),
    ]
    return Holding(
        study_id=study.id,
        study_instance_uid=study.study_instance_uid,
        images=sum(row.state is not InstanceState.SET_ASIDE for row in there),
        committed=sum(bool(row.committed_at and not row.archived_at) for row in there),
        set_aside=sum(row.state is InstanceState.SET_ASIDE for row in there),
        results=session.scalar(results) or 0,
        size_bytes=sum(row.size_bytes for row in there),
        delivered_to=tuple(sorted(taken)),
        under_way=", ".join(busy),
    )


def studies_of_patient(session: Session, patient_id: str, key: bytes) -> list[str]:
    """Return the Study Instance UIDs of a patient, by the digests of this Patient ID.

    Raises
    ------
    LedgerError
        A study holds images of another patient besides: which of them are whose, a person says.
    """
    query = (
        select(Study.id, Study.study_instance_uid, Instance.patient_digest)
        .join(Instance)
        .where(Study.state != StudyState.ERASED, Instance.patient_digest != "")
        .order_by(Study.id)
        .distinct()
    )
    digests: dict[str, list[str]] = {}
    for _, uid, digest in session.execute(query):
        digests.setdefault(uid, []).append(digest)
    found = []
    for uid, of_study in digests.items():
        wanted = _digest(patient_id, uid, key)
        if not any(wanted in one.split() for one in of_study):
            continue
        if not is_one_patient(of_study):
            raise LedgerError(
                f"study {uid} holds images of another patient as well: look at it with "
                f"'mammoclip-node show {uid}', and erase it by its UID if all of it is to go"
            )
        found.append(uid)
    return found


def erase_study(session: Session, study_instance_uid: str, *, force: bool, at: datetime) -> int:
    """Erase a study from the ledger, and have its files deleted; return the id of its row.

    Parameters
    ----------
    force : whether analyses and deliveries under way are given up for it

    Raises
    ------
    UnknownStudyError
        The ledger has no study with this UID.
    UnderWayError
        One of its images is being registered, or analyses or deliveries are under way.
    """
    study = require_locked(session, Study, find_study(session, study_instance_uid).id)
    instances = _locked_instances(session, study)
    analyses = session.scalars(
        locking(select(Analysis).where(Analysis.study_id == study.id).order_by(Analysis.id))
    ).all()
    ids = [row.id for row in analyses]
    deliveries = session.scalars(
        locking(select(Delivery).where(Delivery.analysis_id.in_(ids)).order_by(Delivery.id))
    ).all()
    works: list[Analysis | Delivery] = [*analyses, *deliveries]
    busy = [row for row in works if _is_busy(row)]
    if busy and not force:
        raise UnderWayError(
            f"study {study_instance_uid} is still being analysed or delivered: wait, cancel it, or "
            "give --force"
        )
    for row in works:
        if _is_busy(row) or row.state is DeliveryState.HELD:
            _give_up(session, row, at)
    for image in instances:
        if image.place and image.removed_at is None:
            apply(session, image, Event.REMOVE, because=ERASED, at=at, removed_at=at)
    _mark_leftovers(session, ids, at)
    erase_workitems(session, study_instance_uid, at=at)
    erase_announcements(session, study_instance_uid)
    _forget(
        session,
        study,
        instances=[row.id for row in instances],
        analyses=ids,
        deliveries=[row.id for row in deliveries],
        at=at,
    )
    study.study_instance_uid = f"{ERASED} {study.id}"
    study.patient_digest = study.remark = study.calling_ae_title = ""
    study.removed_at, study.removed_because = at, ERASED
    session.flush()
    apply(session, study, Event.ERASE, because=ERASED, at=at)
    return study.id


def files_left(session: Session, study_ids: list[int]) -> Counter[int]:
    """Count the files of erased studies that are still to be deleted, by the number of the spool.

    Each is deleted by the node of its spool; folders of results count as one file.
    """
    images = (
        select(Instance.spool_id, func.count(Instance.id))
        .where(
            Instance.study_id.in_(study_ids),
            (Instance.place != "") | Instance.stored.in_(IN_STORE),
        )
        .group_by(Instance.spool_id)
    )
    results = (
        select(Study.spool_id, func.count(ResultObject.id))
        .join(Analysis, Analysis.study_id == Study.id)
        .join(ResultObject, ResultObject.analysis_id == Analysis.id)
        .where(
            Study.id.in_(study_ids),
            (ResultObject.place != "") | ResultObject.stored.in_(IN_STORE),
        )
        .group_by(Study.spool_id)
    )
    left: Counter[int] = Counter()
    for query in (images, results):
        for spool_id, count in session.execute(query):
            left[spool_id] += count
    return left


def _locked_instances(session: Session, study: Study) -> list[Instance]:
    query = select(Instance).where(Instance.study_id == study.id).order_by(Instance.id)
    instances = list(session.scalars(locking(query)))
    moving = {InstanceState.TAKEN_BACK, InstanceState.REPLACED}
    if any(
        row.state is InstanceState.RECEIVED or (row.place and row.state in moving)
        for row in instances
    ):
        raise UnderWayError(
            f"images of study {study.study_instance_uid} are being registered: try again in a "
            "moment, with 'mammoclip-node serve' running"
        )
    return instances


def _mark_leftovers(session: Session, analysis_ids: list[int], at: datetime) -> None:
    """Have the folders deleted of analyses without results, whose attempts may have left files."""
    with_results = select(ResultObject.analysis_id).where(
        ResultObject.analysis_id.in_(analysis_ids)
    )
    session.add_all(
        ResultObject(
            analysis_id=one,
            kind="",
            variant="",
            sop_class_uid="",
            sop_instance_uid="",
            series_instance_uid="",
            place=f"results/{one}",
            removed_at=at,
        )
        for one in set(analysis_ids) - set(session.scalars(with_results))
    )
    session.flush()


def _is_busy(row: Analysis | Delivery) -> bool:
    return row.state in {
        AnalysisState.DUE,
        AnalysisState.RUNNING,
        DeliveryState.DUE,
        DeliveryState.SENDING,
    }


def _give_up(session: Session, row: Analysis | Delivery, at: datetime) -> None:
    if isinstance(row, Analysis):
        apply(session, row, Event.CANCEL, because=ERASED, at=at, finished_at=at)
    else:
        event = Event.EXPIRE if row.state is DeliveryState.SENDING else Event.SUPERSEDE
        apply(session, row, event, because=ERASED, at=at, finished_at=at)


def _forget(
    session: Session,
    study: Study,
    *,
    instances: list[int],
    analyses: list[int],
    deliveries: list[int],
    at: datetime,
) -> None:
    """Empty every column that tells something of the patient, the images or the findings."""
    changes = (
        update(Instance)
        .where(Instance.id.in_(instances))
        .values({**dict.fromkeys(_OF_AN_IMAGE, ""), "reason": ERASED, "identifiers_id": None}),
        update(Analysis)
        .where(Analysis.id.in_(analyses))
        .values(findings=None, results_key="", result_rules="", reason=""),
        delete(StudyIdentifiers).where(StudyIdentifiers.study_id == study.id),
        delete(ShadowAnalysis).where(ShadowAnalysis.analysis_id.in_(analyses)),
        delete(MonitorNote).where(MonitorNote.analysis_id.in_(analyses)),
        *assessments_of(study.id, instances),
        delete(Rejection).where(Rejection.study_id == study.id),
        update(ResultObject)
        .where(ResultObject.analysis_id.in_(analyses))
        .values(
            sop_instance_uid=literal(f"{ERASED} ").concat(cast(ResultObject.id, String)),
            series_instance_uid="",
            removed_at=func.coalesce(ResultObject.removed_at, at),
        ),
        update(Delivery).where(Delivery.id.in_(deliveries)).values(reason="", proof_due_at=None),
        update(DeliveryOutcome)
        .where(DeliveryOutcome.delivery_id.in_(deliveries))
        .values(status=""),
        delete(Transition).where(
            or_(
                *(
                    and_(Transition.subject == subject, Transition.subject_id.in_(ids))
                    for subject, ids in (
                        ("study", [study.id]),
                        ("instance", instances),
                        ("analysis", analyses),
                        ("delivery", deliveries),
                    )
                )
            )
        ),
    )
    of_these = select(Instance.sop_instance_uid).where(Instance.id.in_(instances))
    session.execute(
        delete(CommitmentItem)
        .where(CommitmentItem.sop_instance_uid.in_(of_these))
        .execution_options(synchronize_session=False)
    )
    for change in changes:
        session.execute(change.execution_options(synchronize_session=False))


def _digest(patient_id: str, study_instance_uid: str, key: bytes) -> str:
    """Return the word by which a Patient ID stands in the digests of a study."""
    dataset = Dataset()
    dataset.StudyInstanceUID, dataset.PatientID = study_instance_uid, patient_id
    keyed = PatientDigest.of(dataset, key).keyed.get("PatientID", "")
    return f"PatientID={keyed}"
