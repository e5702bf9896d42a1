"""Enters what the node does with workitems where everything is audited (RAD-82, RAD-84, RAD-85)."""

import structlog

from dicom_node.audit.acts import Act, Deed, Outcome
from dicom_node.audit.audit_file import AuditError
from dicom_node.audit_trail import enter
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.procedure_steps.tables import Workitem

log = structlog.get_logger("dicom_node.workitems")


class WorkitemAudit:
    """Entries about workitems, which name no patient and nothing that a server wrote.

    Each is made before the ledger notes what happened: a node that is killed in between enters it
    twice, and never not at all.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def enter(self, row: Workitem, what: str, *, outcome: Outcome = Outcome.DONE) -> None:
        """Enter what was done with a workitem; an audit file that is full stops none."""
        deed = Deed(
            at=self._database.now(),
            who="node",
            via="node",
            act=Act.WORKITEM,
            outcome=outcome,
            studies=(row.study_instance_uid,),
            detail=f"{what}: workitem {row.workitem_uid}",
        )
        try:
            enter(self._settings, self._database, deed)
        except AuditError as error:
            log.warning("audit_not_written", reason=str(error))
