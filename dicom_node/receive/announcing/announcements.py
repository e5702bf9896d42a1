"""Enters what was announced into the ledger, where settling looks at it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.announced_steps import AnnouncedStep, AnnouncedSteps
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.procedure_steps.announcements import (
    Announcement,
    Stage,
    announce,
    forget_announcements,
)
from dicom_node.studies.ledger.tables import Instance, Study

log = structlog.get_logger("dicom_node.announcements")

_KEPT_FOR: Final = timedelta(days=90)
_PORTION: Final = 500


class Announcements:
    """What waits in the spool, into the ledger; may be killed at any point.

    Parameters
    ----------
    is_ready : whether the ledger can be asked
    """

    def __init__(
        self, spool: Spool, database: Database, *, is_ready: Callable[[], bool] = lambda: True
    ) -> None:
        self._is_ready = is_ready
        self._steps = AnnouncedSteps(spool.root)
        self._database = database
        self._entered: set[str] = set()
        self._looked_on = ""

    def step(self) -> None:
        """Enter what is new."""
        if not self._is_ready():
            return
        waiting = list(self._steps.waiting())
        for version, step in waiting:
            if version not in self._entered:
                self._enter(step)
        self._entered = {version for version, _ in waiting}
        for _, step in waiting:
            self._steps.entered(step)
        self._forget()

    def _enter(self, step: AnnouncedStep) -> None:
        with self._database.writing() as session:
            at = self._database.now()
            for study, digest in step.studies.items():
                remark = _doubt(session, step, study)
                said = Announcement(
                    announced_by=step.sop_instance_uid,
                    kind=step.kind,
                    stage=Stage(step.state),
                    study_instance_uid=study,
                    images=tuple(step.images),
                    calling_ae_title=step.calling_ae_title,
                    patient_digest=digest,
                    remark=remark,
                )
                if announce(session, said, at=at) and remark:
                    log.warning(
                        "announcement_set_aside",
                        study=study,
                        reason=remark,
                        calling_ae_title=step.calling_ae_title,
                    )

    def _forget(self) -> None:
        at = self._database.now()
        if (today := at.date().isoformat()) != self._looked_on:
            self._looked_on = today
            self._steps.forget(older_than_seconds=_KEPT_FOR.total_seconds())
            with self._database.writing() as session:
                forget_announcements(session, before=at - _KEPT_FOR)


def _doubt(session: Session, step: AnnouncedStep, study: str) -> str:
    """Say why an announcement is not used: it lists images that are of another study."""
    if len(step.studies) > 1:
        return ""  # its images are of several studies, and it does not say which of which
    for first in range(0, len(step.images), _PORTION):
        query = (
            select(Study.study_instance_uid)
            .join(Instance, Instance.study_id == Study.id)
            .where(
                Instance.sop_instance_uid.in_(step.images[first : first + _PORTION]),
                Study.study_instance_uid != study,
            )
            .limit(1)
        )
        if session.scalar(query) is not None:
            return f"the {step.kind.upper()} lists images that are of another study here"
    return ""
