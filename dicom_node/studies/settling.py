"""Decides when a study is complete, and makes its analysis due."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.identity import is_one_patient
from dicom_node.facts.selection import SetAside, select_images
from dicom_node.studies.ledger.correcting import CORRECTED
from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.remarks import NOTHING_TO_ANALYSE
from dicom_node.studies.ledger.states import AnalysisState, Event, InstanceState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study
from dicom_node.studies.ledger.transitions import apply, begin
from mammoclip_core.findings import ImageFindings
from mammoclip_core.images.image_kind import Acquisition, ImageFacts
from mammoclip_core.images.selection import Generated2D, has_standard_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the node waits for further images of a study."""

    idle: timedelta
    grace: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySelection:
    """The instances to analyse, each with a remark, and all others with their reasons."""

    chosen: tuple[tuple[Instance, str], ...]
    left_out: tuple[ImageFindings, ...]


def quiet_studies(session: Session, *, patience: Patience, at: datetime) -> list[int]:
    """List the ids of open studies that nothing came for lately: those that may be complete.

    Parameters
    ----------
    at : by the clock of the host that receives
    """
    since = at - min(patience.idle, patience.grace)
    query = select(Study.id).where(Study.state == StudyState.OPEN, Study.last_received_at <= since)
    return list(session.scalars(query.order_by(Study.last_received_at)))


def settle_if_complete(
    session: Session,
    study_id: int,
    *,
    open_associations: Collection[str],
    patience: Patience,
    at: datetime,
    due_at: datetime | None = None,
) -> Study | None:
    """Settle a study if it is complete, and make its analysis due; else return None.

    Parameters
    ----------
    open_associations : tokens
        Open associations, over which more objects may arrive.
    at : by the clock of the host that receives
    due_at : by the clock of the database; by default the same
    """
    # Locked before its images are read, as by everybody who registers one: none comes in between.
    # Whoever holds it changes it, and the next look decides on what it is then.
    query = select(Study).where(Study.id == study_id, Study.state == StudyState.OPEN)
    study = session.scalars(locking(query, skip_locked=True)).first()
    if study is None:
        return None
    instances = instances_of(session, study)
    if not _is_complete(study, instances, open_associations, patience, at):
        return None
    _settle(session, study, instances, due_at or at)
    return study


def selection_of(session: Session, study: Study) -> StudySelection:
    """Select the images to analyse from what the ledger now holds of a study."""
    return selection_from(instances_of(session, study))


def begin_analysis(session: Session, study: Study, *, because: str, at: datetime) -> Analysis:
    """Add an analysis, due at once, for a new revision of a study that the caller has locked."""
    study.revision += 1
    return begin(
        session,
        Analysis(
            study_id=study.id,
            revision=study.revision,
            state=AnalysisState.DUE,
            version=0,
            attempts=0,
            due_at=at,
            created_at=at,
            lease_holder="",
            reason="",
            bundle="",
        ),
        because=because,
        at=at,
    )


def held_because(study: Study, instances: list[Instance]) -> str:
    """Say why a study is not analysed although it could be; empty if it is.

    Where only some images were corrected to another patient, nobody can tell whose results these
    would be: the rest is waited for.
    """
    kept = [row for row in instances if row.state is InstanceState.REGISTERED]
    if is_one_patient(row.patient_digest or study.patient_digest for row in kept):
        return ""
    corrected = sum(row.reason == CORRECTED for row in kept)
    return (
        f"{corrected} of {len(kept)} images were corrected to another patient and the others were "
        "not: send the whole study again"
    )


def instances_of(session: Session, study: Study) -> list[Instance]:
    """Return everything received for a study, oldest first."""
    query = select(Instance).where(Instance.study_id == study.id).order_by(Instance.id)
    return list(session.scalars(query))


def _is_complete(
    study: Study,
    instances: list[Instance],
    open_associations: Collection[str],
    patience: Patience,
    at: datetime,
) -> bool:
    if any(
        instance.state is InstanceState.RECEIVED or instance.association in open_associations
        for instance in instances
    ):
        return False
    registered = [row for row in instances if row.state is InstanceState.REGISTERED]
    is_whole = has_standard_views(map(_image_facts_of, registered))
    wait = patience.grace if is_whole else patience.idle
    return at - study.last_received_at >= wait


def _settle(session: Session, study: Study, instances: list[Instance], at: datetime) -> None:
    chosen = selection_from(instances).chosen
    study.remark = held_because(study, instances) if chosen else NOTHING_TO_ANALYSE
    if study.remark and chosen:
        apply(session, study, Event.SETTLE, because=study.remark, at=at)
        return
    apply(session, study, Event.SETTLE, because=f"{len(chosen)} images to analyse", at=at)
    if chosen:
        begin_analysis(session, study, because="study settled", at=at)


def selection_from(
    instances: list[Instance], generated_2d: Generated2D = Generated2D.IF_ALONE
) -> StudySelection:
    """Select the images to analyse of everything received for a study."""
    registered = [row for row in instances if row.state is InstanceState.REGISTERED]
    selection = select_images(
        [_image_facts_of(row) for row in registered],
        [
            SetAside(image=_image_facts_of(row), reason=row.reason, detail=row.detail)
            for row in instances
            if row.state is InstanceState.SET_ASIDE
        ],
        generated_2d,
    )
    rows = {row.sop_instance_uid: row for row in registered}
    return StudySelection(
        chosen=tuple((rows[image.sop_instance_uid], remark) for image, remark in selection.chosen),
        left_out=selection.left_out,
    )


def _image_facts_of(row: Instance) -> ImageFacts:
    return ImageFacts(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        laterality=row.laterality,
        view_position=row.view_position,
        presentation_intent=row.presentation_intent,
        acquisition=Acquisition(row.acquisition),
        left_out_reason=row.left_out_reason,
    )
