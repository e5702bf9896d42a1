"""Takes requests for storage commitment: on disk first, then answered; the node judges them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

from dicom_node.errors import OutOfResourcesError
from dicom_node.facts.commitment_request import asked_in
from dicom_node.network import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, UNCOMPRESSED
from dicom_node.receive.upper_layer.association import StoreRequest
from dicom_node.receive.upper_layer.commands import CommandField
from dicom_node.receive.upper_layer.negotiation import Request
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.messages.line_reports import LineReports
from dicom_node.spool.messages.sender_requests import SenderRequest, SenderRequests

log = structlog.get_logger("dicom_node.listener")

_SUCCESS: Final = 0x0000
_NO_SUCH_INSTANCE: Final = 0x0112
_NO_SUCH_ARGUMENT: Final = 0x0114
_INVALID_ARGUMENT: Final = 0x0115
_NO_SUCH_CLASS: Final = 0x0118
_NO_SUCH_ACTION: Final = 0x0123
_RESOURCE_LIMITATION: Final = 0x0213
"""Statuses of N-ACTION (PS3.7 10.1.4.1.10)."""

_REQUEST_COMMITMENT: Final = (1).to_bytes(2, "little")


class Committing:
    """The side of storage commitment that senders ask (PS3.4 J.3.2), where the settings name them.

    Parameters
    ----------
    spool : folder
    """

    def __init__(self, settings: ReceiveSettings, spool: Path) -> None:
        self._titles = frozenset(one.ae_title for one in settings.commitment)
        self._told_at_once = {one.ae_title for one in settings.commitment if one.same_association}
        self._requests = SenderRequests(spool)
        self._reports = LineReports(spool)
        # One at a time: a megabyte of empty items takes a hundred of memory.
        self._reading = threading.Lock()

    def contexts_for(self, request: Request) -> list[PresentationContext]:
        """Return the presentation context of storage commitment for those who may ask."""
        if request.calling_ae_title not in self._titles:
            return []
        return [build_context(STORAGE_COMMITMENT, list(UNCOMPRESSED))]

    def waiting_on(self, request: Request, token: str) -> "Waiting | None":
        """Return what tells a caller over its association, where the settings want that.

        Parameters
        ----------
        token : names the association
        """
        if request.calling_ae_title not in self._told_at_once:
            return None
        return Waiting(token, self._reports)

    def services_for(
        self, request: Request, waiting: "Waiting | None" = None
    ) -> dict[int, Callable[[StoreRequest, bytes], int]]:
        """Return what answers the requests of a caller; empty for those who may not ask."""
        if request.calling_ae_title not in self._titles:
            return {}

        def take(asked: StoreRequest, content: bytes) -> int:
            if problem := _problem(asked, content):
                return problem
            kept = SenderRequest(
                calling_ae_title=request.calling_ae_title,
                called_ae_title=request.called_ae_title,
                transfer_syntax=asked.transfer_syntax,
                content=content,
                association="" if waiting is None else waiting.line_of(asked),
            )
            with self._reading:
                if asked_in(kept) is None:
                    log.warning("commitment_unreadable", calling_ae_title=request.calling_ae_title)
                    return _INVALID_ARGUMENT
            try:
                self._requests.keep(kept)
            except OutOfResourcesError as error:
                log.warning(
                    "commitment_refused",
                    reason=error.reason,
                    detail=str(error),
                    calling_ae_title=request.calling_ae_title,
                )
                return _RESOURCE_LIMITATION
            if waiting is not None:
                waiting.expect(asked)
            return _SUCCESS

        return {CommandField.N_ACTION: take}


class Waiting:
    """Tells the peer of one association what the node makes of its requests."""

    def __init__(self, token: str, reports: LineReports) -> None:
        self._token = token
        self._reports = reports
        self._asked: dict[str, StoreRequest] = {}
        self._told = "", 0

    @property
    def is_expected(self) -> bool:
        """Whether the peer has asked for storage commitment."""
        return bool(self._asked)

    def line_of(self, asked: StoreRequest) -> str:
        """Return the name under which the node may offer the report on a request.

        It goes out in the presentation context of the request, and so in its transfer syntax.
        """
        return f"{self._token}.{asked.context_id}"

    def expect(self, asked: StoreRequest) -> None:
        """Take note of a request: the node may offer its report from now on."""
        line = self.line_of(asked)
        self._asked[line] = asked
        self._reports.wait(line)

    def next_report(self) -> tuple[StoreRequest, int, bytes] | None:
        """Return what the node offers; see `Telling.next_report`."""
        for line, asked in self._asked.items():
            if offered := self._reports.offered(line):
                report_id, event_type, content = offered
                self._told = line, report_id
                return asked, event_type, content
        return None

    def told(self, status: int) -> None:
        """Tell the node that the peer has taken its report, if it has."""
        if status == _SUCCESS:
            self._reports.told(*self._told)

    def end(self) -> None:
        """Take note that the association has ended."""
        for line in self._asked:
            self._reports.leave(line)


def _problem(asked: StoreRequest, content: bytes) -> int:
    command = asked.command
    named = command.sop_class_uid.decode("ascii", errors="replace")
    if not named == asked.abstract_syntax == STORAGE_COMMITMENT:
        return _NO_SUCH_CLASS
    if command.sop_instance_uid.decode("ascii", errors="replace") != STORAGE_COMMITMENT_INSTANCE:
        return _NO_SUCH_INSTANCE
    if command.action_type != _REQUEST_COMMITMENT:
        return _NO_SUCH_ACTION
    return _SUCCESS if content else _NO_SUCH_ARGUMENT
