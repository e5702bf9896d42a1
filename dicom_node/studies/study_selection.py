"""Which instances of a study are analysed, by what the ledger holds of it."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.selection import SetAside, select_images
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study
from mammoclip_core.findings import ImageFindings
from mammoclip_core.images.header.image_kind import Acquisition, ImageFacts
from mammoclip_core.images.selection import Generated2D


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySelection:
    """The instances to analyse, each with a remark, and all others with their reasons."""

    chosen: tuple[tuple[Instance, str], ...]
    left_out: tuple[ImageFindings, ...]


def selection_of(session: Session, study: Study) -> StudySelection:
    """Select the images to analyse from what the ledger now holds of a study."""
    return selection_from(instances_of(session, study))


def selection_from(
    instances: list[Instance], generated_2d: Generated2D = Generated2D.IF_ALONE
) -> StudySelection:
    """Select the images to analyse of everything received for a study."""
    registered = [row for row in instances if row.state is InstanceState.REGISTERED]
    selection = select_images(
        [image_facts_of(row) for row in registered],
        [
            SetAside(image=image_facts_of(row), reason=row.reason, detail=row.detail)
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


def instances_of(session: Session, study: Study) -> list[Instance]:
    """Return everything received for a study, oldest first."""
    query = select(Instance).where(Instance.study_id == study.id).order_by(Instance.id)
    return list(session.scalars(query))


def image_facts_of(row: Instance) -> ImageFacts:
    """Return what decides whether an instance is analysed."""
    return ImageFacts(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        laterality=row.laterality,
        view_position=row.view_position,
        presentation_intent=row.presentation_intent,
        acquisition=Acquisition(row.acquisition),
        left_out_reason=row.left_out_reason,
    )
