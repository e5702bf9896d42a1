"""What others announce of the images of a study: a sign by which it is known to be complete."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicom_node.facts.identity import is_one_patient
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.procedure_steps.tables import AnnouncedStudy
from dicom_node.studies.ledger.states import InstanceState, StudyState
from dicom_node.studies.ledger.tables import Instance, Study


class Stage(StrEnum):
    """How far the step is that makes or lists the images."""

    IN_PROGRESS = "in progress"
    COMPLETED = "completed"
    """Nothing further comes of it."""
    DISCONTINUED = "discontinued"
    """It was ended before its time: what came of it is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What one message says of one study.

    Attributes
    ----------
    announced_by : SOP Instance UID of the step or notification, or UID of the workitem
    kind : mpps, ian or workitem
    images : SOP Instance UIDs of its mammograms
    """

    announced_by: str
    kind: str
    stage: Stage
    study_instance_uid: str
    images: tuple[str, ...]
    calling_ae_title: str = ""
    patient_digest: str = ""
    remark: str = ""


def announce(session: Session, said: Announcement, *, at: datetime) -> bool:
    """Enter an announcement in the place of what it said before; return whether it is new."""
    query = select(AnnouncedStudy).where(
        AnnouncedStudy.announced_by == said.announced_by,
        AnnouncedStudy.study_instance_uid == said.study_instance_uid,
    )
    row = session.scalars(query).first()
    values = {
        "kind": said.kind,
        "state": said.stage.value,
        "calling_ae_title": said.calling_ae_title,
        "images": json.dumps([*said.images]),
        "patient_digest": said.patient_digest,
        "remark": said.remark,
    }
    if row is None:
        row = AnnouncedStudy(
            announced_by=said.announced_by, study_instance_uid=said.study_instance_uid
        )
        session.add(row)
    elif all(getattr(row, name) == value for name, value in values.items()):
        return False
    for name, value in values.items():
        setattr(row, name, value)
    row.changed_at = at
    return True


@dataclass(frozen=True, slots=True)
class Signs:
    """What all announcements of one study say together.

    Attributes
    ----------
    awaited : SOP Instance UIDs that were announced
    is_ended : whether every step that makes images of it has ended
    is_cut_short : whether one of them was discontinued, so that what it lacks does not come
    by : kinds of announcements
    of_others : kinds of announcements that do not count: they name another patient than the images
    """

    awaited: frozenset[str] = frozenset()
    is_ended: bool = False
    is_cut_short: bool = False
    by: tuple[str, ...] = ()
    of_others: tuple[str, ...] = ()

    def are_met(self, here: Collection[str]) -> bool:
        """Return whether nothing more is to be waited for.

        Parameters
        ----------
        here : SOP Instance UIDs that were received, in whatever state
        """
        if not self.is_ended:
            return False
        return self.is_cut_short or (bool(self.awaited) and self.awaited <= set(here))

    def missing(self, here: Collection[str]) -> list[str]:
        """Return the SOP Instance UIDs that were announced and have not come."""
        return sorted(self.awaited - set(here))


NO_SIGNS = Signs()


def signs_of(session: Session, study_instance_uid: str, instances: Sequence[Instance]) -> Signs:
    """Return what is announced of a study.

    Parameters
    ----------
    instances : what was received of it: an announcement of another patient does not count
    """
    query = select(AnnouncedStudy).where(
        AnnouncedStudy.study_instance_uid == study_instance_uid, AnnouncedStudy.remark == ""
    )
    rows = session.scalars(query).all()
    kept = [one.patient_digest for one in instances if one.state is InstanceState.REGISTERED]
    own = [row for row in rows if _is_of_this_patient(row, kept)]
    return replace(_together(own), of_others=tuple(_kinds(row for row in rows if row not in own)))


def announced_open(session: Session, *, limit: int) -> list[int]:
    """List the ids of open studies of which something is announced, the newest first."""
    query = (
        select(Study.id)
        .join(AnnouncedStudy, AnnouncedStudy.study_instance_uid == Study.study_instance_uid)
        .where(in_states(Study, StudyState.OPEN), AnnouncedStudy.state != Stage.IN_PROGRESS.value)
        .order_by(Study.last_received_at.desc())
        .limit(limit)
    )
    return list(dict.fromkeys(session.scalars(query)))


def forget_announcements(session: Session, *, before: datetime) -> None:
    """Delete announcements that nothing has changed for long."""
    session.execute(
        delete(AnnouncedStudy)
        .where(AnnouncedStudy.changed_at < before)
        .execution_options(synchronize_session=False)
    )


def erase_announcements(session: Session, study_instance_uid: str) -> None:
    """Delete what was announced of a study."""
    session.execute(
        delete(AnnouncedStudy)
        .where(AnnouncedStudy.study_instance_uid == study_instance_uid)
        .execution_options(synchronize_session=False)
    )


def _is_of_this_patient(row: AnnouncedStudy, kept: Iterable[str]) -> bool:
    known = [one for one in kept if one]
    return not row.patient_digest or not known or is_one_patient([row.patient_digest, *known])


def _together(rows: Sequence[AnnouncedStudy]) -> Signs:
    if not rows:
        return NO_SIGNS
    return Signs(
        awaited=frozenset(uid for row in rows for uid in json.loads(row.images)),
        is_ended=all(row.state != Stage.IN_PROGRESS for row in rows),
        is_cut_short=any(row.state == Stage.DISCONTINUED for row in rows),
        by=tuple(_kinds(rows)),
    )


def _kinds(rows: Iterable[AnnouncedStudy]) -> list[str]:
    return sorted({row.kind for row in rows})
