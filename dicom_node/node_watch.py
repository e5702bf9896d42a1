"""What a node does beside studies: watches the model, tells of alarms, sends audit messages."""

import time
from collections.abc import Callable
from typing import Final

from dicom_node.audit.syslog_queue import SyslogQueue
from dicom_node.audit.syslog_sender import SyslogSender
from dicom_node.drift.channels import Channels
from dicom_node.drift.rounds import DriftRounds
from dicom_node.objects.elements.local_time import site_time_zone
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database

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
        zone = site_time_zone(settings.results.time_zone)
        self._rounds = DriftRounds(settings=settings, database=database, zone=zone)
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
        if self._sender is not None:
            self._sender.step()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_SECONDS
            self._rounds.step()
            self._channels.step()
