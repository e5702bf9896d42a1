"""The DICOMweb service beside the node: its port, and the process that serves it."""

import pickle
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from dicom_node.receive.listener import listening_socket
from dicom_node.settings.dicomweb import DicomwebSettings
from dicom_node.settings.receive import ReceiveSettings
from dicom_node.settings.tls import TlsSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.tls import server_context

log = structlog.get_logger("dicom_node.dicomweb")

_STOP_SECONDS: Final = 10.0
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 10.0
_SOON_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the process is to do.

    Attributes
    ----------
    spool : folder
    ledger_url : of the ledger, which is only read
    log_format : ``console`` or ``json``
    """

    settings: DicomwebSettings
    receive: ReceiveSettings
    tls: TlsSettings
    spool: Path
    ledger_url: str
    log_format: str


class WebServer:
    """Keeps one process running that serves DICOMweb; connections wait in the kernel meanwhile.

    A process of its own, so that what requests cost is neither the registrar's time nor the
    memory of the processes that receive, and a fault costs its own requests.
    """

    def __init__(
        self,
        settings: DicomwebSettings,
        receive: ReceiveSettings,
        spool: Spool,
        *,
        tls: TlsSettings,
        ledger_url: str,
        log_format: str,
    ) -> None:
        self._settings = settings
        self._receive = receive
        self._spool = spool
        self._tls = tls
        self._ledger_url = ledger_url
        self._log_format = log_format
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dicomweb", daemon=True)
        self._child: subprocess.Popen[bytes] | None = None
        self._listening: socket.socket | None = None

    @property
    def process_id(self) -> int | None:
        """Process ID of the process that serves; None while there is none."""
        child = self._child
        return None if child is None or child.poll() is not None else child.pid

    def start(self) -> None:
        """Open the port and start the process.

        Raises
        ------
        AddressError
            The address is not one of this machine, or the port is in use or privileged.
        SettingsError
            A certificate of [tls] is missing or wrong.
        """
        if self._settings.tls:
            asks = self._settings.require_client_certificate
            server_context(self._tls, asks_for_certificate=asks)
        self._listening = listening_socket(self._settings, section="dicomweb")
        self._thread.start()

    def stop(self) -> None:
        """Close the port and end the process; what was answered is safe."""
        self._stopping.set()
        if self._listening is None:
            return
        child = self._child
        if child is not None and child.stdin is not None:
            with suppress(BrokenPipeError):
                child.stdin.close()
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive() and self._child is not None:
            self._child.kill()
            self._thread.join()
        self._listening.close()

    def _watch(self) -> None:
        wait = _FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                status = self._run()
            except OSError as error:
                log.error("web_process_not_started", detail=error.strerror)  # noqa: TRY400
            else:
                if status and not self._stopping.is_set():
                    log.error("web_process_ended", status=status)
                if not status or time.monotonic() - began > _SOON_SECONDS:
                    wait = _FIRST_WAIT_SECONDS
                    continue
            self._stopping.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _run(self) -> int:
        order = Order(
            settings=self._settings,
            receive=self._receive,
            tls=self._tls,
            spool=self._spool.root,
            ledger_url=self._ledger_url,
            log_format=self._log_format,
        )
        assert self._listening is not None
        port = self._listening.fileno()
        # -P: what lies in the working directory is not imported.
        command = [sys.executable, "-P", "-m", "dicom_node.dicomweb.web_process", str(port)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[port])
        self._child = child
        assert child.stdin is not None
        with suppress(BrokenPipeError):
            child.stdin.write(pickle.dumps(order))
            child.stdin.flush()
        if self._stopping.is_set():
            child.stdin.close()
        try:
            return child.wait()
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
