"""What a node does beside studies: watches the model, tells of alarms, sends audit messages."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from dicom_node.audit.acts import Act, Deed, Outcome
from dicom_node.audit.audit_file import AuditError
from dicom_node.audit.syslog_queue import SyslogQueue
from dicom_node.audit.syslog_sender import SyslogSender
from dicom_node.audit_trail import enter
from dicom_node.drift.channels import Channels
from dicom_node.drift.rounds import DriftRounds
from dicom_node.model_bundle import gives_probabilities
from dicom_node.objects.elements.local_time import site_time_zone
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database

log = structlog.get_logger("dicom_node.node_process")

_EVERY_SECONDS: Final = 60.0


class NodeWatch:
    """One step of the thread that does it.

    Parameters
    ----------
    is_ready : whether the ledger has its tables
    """

    def __init__(
        self, settings: Settings, database: Database, *, is_ready: Callable[[], bool]
    ) -> None:
        self._is_ready = is_ready
        self._settings, self._database = settings, database
        self._is_entered = False
        zone = site_time_zone(settings.results.time_zone)
        self._rounds = DriftRounds(
            settings=settings,
            database=database,
            zone=zone,
            is_calibrated=partial(gives_probabilities, settings.model),
        )
        self._channels = Channels(settings, database)
        self._sender = (
            None
            if settings.audit.syslog_host is None
            else SyslogSender(settings.audit, settings.tls, SyslogQueue(settings.spool))
        )
        self._next = 0.0

    def step(self) -> None:
        """Send what waits; look at the answers once a minute."""
        if not self._is_ready():
            return
        if not self._is_entered:
            self._is_entered = True
            self._enter(Act.START)
        if self._sender is not None:
            self._sender.step()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_SECONDS
            self._rounds.step()
            self._channels.step()

    def close(self) -> None:
        """Enter in the audit that the node stops."""
        if self._is_entered:
            self._enter(Act.STOP)

    def _enter(self, act: Act) -> None:
        at = self._database.now()
        deed = Deed(at=at, who="node", via="node", act=act, outcome=Outcome.DONE)
        try:
            enter(self._settings, self._database, deed)
        except AuditError as error:  # a full disk stops no node
            log.warning("audit_not_written", reason=str(error))
