"""An HTTP service beside the node: its port, and the process that serves it."""

import pickle
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Final

import structlog

from dicom_node.receive.listener import Address, listening_socket

log = structlog.get_logger("dicom_node.serving")

_STOP_SECONDS: Final = 10.0
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 10.0
_SOON_SECONDS: Final = 5.0


class ChildServer:
    """Keeps one process running that serves; connections wait in the kernel meanwhile.

    A process of its own, so that what requests cost is neither the registrar's time nor the
    memory of the processes that receive, and a fault costs its own requests.

    Parameters
    ----------
    address : where it listens
    section : of the settings, for messages
    module : run by the process as ``python -m MODULE DESCRIPTOR``
    order : what the process is to do; it reads this, pickled, on standard input
    """

    def __init__(self, address: Address, *, section: str, module: str, order: object) -> None:
        self._address = address
        self._section = section
        self._module = module
        self._order = order
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=section, daemon=True)
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
        """
        self._listening = listening_socket(self._address, section=self._section)
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
                log.error("web_process_not_started", kind=self._section, detail=error.strerror)  # noqa: TRY400
            else:
                if status and not self._stopping.is_set():
                    log.error("web_process_ended", kind=self._section, status=status)
                if not status or time.monotonic() - began > _SOON_SECONDS:
                    wait = _FIRST_WAIT_SECONDS
                    continue
            self._stopping.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _run(self) -> int:
        assert self._listening is not None
        port = self._listening.fileno()
        # -P: what lies in the working directory is not imported.
        command = [sys.executable, "-P", "-m", self._module, str(port)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[port])
        self._child = child
        assert child.stdin is not None
        with suppress(BrokenPipeError):
            child.stdin.write(pickle.dumps(self._order))
            child.stdin.flush()
        if self._stopping.is_set():
            child.stdin.close()
        try:
            return child.wait()
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
