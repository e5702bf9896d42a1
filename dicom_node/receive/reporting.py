"""Takes reports on storage commitment: on disk first, then answered; others judge them."""

from collections.abc import Callable, Iterable
from typing import Final

import structlog

from dicom_node.errors import OutOfResourcesError
from dicom_node.network import STORAGE_COMMITMENT
from dicom_node.receive.access import Caller
from dicom_node.receive.reporters import Reporter, Reporters
from dicom_node.receive.upper_layer.association import StoreRequest
from dicom_node.receive.upper_layer.commands import CommandField
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.messages.reports import Report, Reports

log = structlog.get_logger("dicom_node.listener")

_SUCCESS: Final = 0x0000
_NO_SUCH_CLASS: Final = 0x0118
_RESOURCE_LIMITATION: Final = 0x0213
"""Statuses of N-EVENT-REPORT (PS3.7 10.1.1.1.8)."""


class Reporting:
    """The side of storage commitment to which archives report (PS3.4 J.3.3)."""

    def __init__(
        self, reporters: Iterable[Reporter], settings: ReceiveSettings, reports: Reports
    ) -> None:
        self._reporters = Reporters(reporters, settings)
        self._reports = reports

    def may_report(self, caller: Caller) -> bool:
        """Return whether a caller is an archive of which storage commitment is asked."""
        return bool(self._reporters.destinations(caller))

    def services_for(self, caller: Caller) -> dict[int, Callable[[StoreRequest, bytes], int]]:
        """Return what answers the reports of a caller; empty for everybody else."""
        destinations = tuple(self._reporters.destinations(caller))
        if not destinations:
            return {}

        def keep(request: StoreRequest, content: bytes) -> int:
            if request.abstract_syntax != STORAGE_COMMITMENT:
                return _NO_SUCH_CLASS
            report = Report(
                destinations=destinations,
                calling_ae_title=caller.calling_ae_title,
                address=caller.address,
                transfer_syntax=request.transfer_syntax,
                content=content,
            )
            try:
                self._reports.keep(report)
            except OutOfResourcesError as error:
                log.warning(
                    "report_refused",
                    reason=error.reason,
                    detail=str(error),
                    calling_ae_title=caller.calling_ae_title,
                )
                return _RESOURCE_LIMITATION
            return _SUCCESS

        return {CommandField.N_EVENT_REPORT: keep}
