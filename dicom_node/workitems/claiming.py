"""Claims a workitem so that no two performers work on it (RAD-82; PS3.18 11.7)."""

import json
from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from dicom_node.audit.acts import Outcome
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.procedure_steps.announcements import (
    Announcement,
    Stage,
    announce,
)
from dicom_node.studies.ledger.procedure_steps.tables import Workitem, WorkitemState
from dicom_node.studies.ledger.procedure_steps.workitems import change
from dicom_node.workitems.auditing import WorkitemAudit
from dicom_node.workitems.messages import progress
from dicom_node.workitems.ups_server import Answer, UpsServer
from dicom_node.workitems.workitem import IN_PROGRESS, workitem_in

log = structlog.get_logger("dicom_node.workitems")

_CLAIMED = "claimed"


class Claims:
    """Claims by the Transaction UID that a row holds."""

    def __init__(self, server: UpsServer, database: Database, audit: WorkitemAudit) -> None:
        self._server = server
        self._database = database
        self._audit = audit

    def claim(self, row: Workitem, *, is_fresh: bool) -> bool:
        """Claim a workitem; return whether the node performs it now.

        Parameters
        ----------
        is_fresh : whether nothing was sent before; else the answer may have been lost
        """
        uid = row.workitem_uid
        answer = self._server.change_state(uid, IN_PROGRESS, row.transaction_uid)
        if answer is Answer.GONE:
            return self.lose(row, "the server knows it no more")
        if answer is Answer.REFUSED and is_fresh:
            return self.lose(row, "another performer was first", is_usual=True)
        # Some servers let two claims win, and an earlier claim may have been answered to nobody:
        # the performer is whose Transaction UID an update is taken by.
        if not self.is_ours(row):
            return self.lose(row, "another performer was first", is_usual=True)
        self._audit.enter(row, "claimed")
        with self._database.writing() as session:
            at = self._database.now()
            change(session, row, state=WorkitemState.HELD, claimed_at=at, told=_CLAIMED, told_at=at)
            announce_inputs(session, row, json.loads(row.inputs), at=at)
        log.info("workitem_claimed", workitem=uid, study=row.study_instance_uid)
        return True

    def is_ours(self, row: Workitem) -> bool:
        """Return whether the server takes the node for the performer."""
        uid = row.workitem_uid
        sent = progress(row.transaction_uid, 0, _CLAIMED)
        if self._server.update(uid, sent) is not Answer.DONE:
            return False
        shown = self._server.workitem(uid)
        if shown is None:
            return False
        workitem = workitem_in(shown, uid=uid)
        is_other = workitem.transaction_uid not in {"", row.transaction_uid}
        return workitem.state == IN_PROGRESS and not is_other

    def lose(self, row: Workitem, reason: str, *, is_usual: bool = False) -> bool:
        """Note that the workitem is not the node's, or not any more; returns False."""
        if not is_usual:
            self._audit.enter(row, "lost", outcome=Outcome.REFUSED)
        with self._database.writing() as session:
            at = self._database.now()
            change(session, row, state=WorkitemState.LOST, reason=reason, ended_at=at)
        if is_usual:
            log.info("workitem_taken_by_another", workitem=row.workitem_uid)
        else:
            log.warning("workitem_lost", workitem=row.workitem_uid, reason=reason)
        return False


def announce_inputs(
    session: Session, row: Workitem, inputs: Sequence[str], *, at: datetime
) -> None:
    """Let the study count as complete once all inputs of a workitem are here."""
    if inputs:
        said = Announcement(
            announced_by=row.workitem_uid,
            kind="workitem",
            stage=Stage.COMPLETED,
            study_instance_uid=row.study_instance_uid,
            images=tuple(inputs),
        )
        announce(session, said, at=at)
