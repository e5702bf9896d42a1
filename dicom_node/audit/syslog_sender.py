"""Sends audit messages to their collector: syslog over TLS (RFC 5425)."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final

import structlog

from dicom_node.audit.acts import Deed
from dicom_node.audit.dicom_messages import syslog_message
from dicom_node.audit.syslog_queue import SyslogQueue
from dicom_node.name_lookup import connected_to_one_of, look_up
from dicom_node.settings.operation.audit import AuditSettings
from dicom_node.settings.tls import TlsSettings
from dicom_node.tls import client_context, words_for

log = structlog.get_logger("dicom_node.audit")

_MOST_AT_ONCE: Final = 200
_SECONDS: Final = 15.0
_LOOK_UP_SECONDS: Final = 5.0
"""Longest wait for the collector's address: no time-out of a socket reaches the resolver."""


class SyslogSender:
    """Sends what waits in the queue, and keeps it until the collector has read all of it.

    Syslog has no answers. What a connection has carried counts as read once the collector has
    ended the connection in order after it; otherwise the same messages are sent again, so that a
    collector may get some twice and none never.
    """

    def __init__(self, settings: AuditSettings, tls: TlsSettings, queue: SyslogQueue) -> None:
        self._settings = settings
        self._tls = tls
        self._queue = queue
        self._failing = ""

    def step(self) -> int:
        """Send what waits; return how many messages the collector has taken."""
        waiting = list(islice(self._queue.waiting(), _MOST_AT_ONCE))
        if not waiting:
            return 0
        try:
            self._send([deed for _, deed in waiting])
        except (OSError, ValueError) as error:
            why = words_for(error)
            if why != self._failing:
                log.warning("audit_collector_down", reason=why, count=len(waiting))
            self._failing = why
            return 0
        self._failing = ""
        for file, _ in waiting:
            self._queue.drop(file)
        return len(waiting)

    def _send(self, deeds: list[Deed]) -> None:
        with self._connected() as line:
            for deed in deeds:
                message = syslog_message(deed, source=self._settings.source)
                line.sendall(f"{len(message)} ".encode("ascii") + message)
            _end(line)

    @contextmanager
    def _connected(self) -> Iterator[ssl.SSLSocket]:
        host, port = str(self._settings.syslog_host), self._settings.syslog_port
        context = client_context(self._tls)
        with (
            connected_to_one_of(
                look_up(host, _LOOK_UP_SECONDS),
                lambda address, share: socket.create_connection((address, port), timeout=share),
                _SECONDS,
            ) as plain,
            context.wrap_socket(plain, server_hostname=host) as line,
        ):
            yield line


def _end(line: ssl.SSLSocket) -> None:
    """Say that nothing more comes, and wait until the other side has read it all and says so.

    Raises
    ------
    OSError
        The connection broke before.
    """
    with suppress(
        ssl.SSLEOFError, ssl.SSLZeroReturnError
    ):  # it just closes: it has read to the end
        line.unwrap()
