"""The receiving processes of a node: started, watched and replaced, all on one port."""

import os
import pickle
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from dicom_node.receive.acceptor_process import KEPT, LEAVING, Order
from dicom_node.receive.listener import listening_socket, open_associations
from dicom_node.receive.reporters import Reporter
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import SentObject
from dicom_node.tls import server_context

log = structlog.get_logger("dicom_node.listener")

_TICK_SECONDS: Final = 0.25
_STOP_SECONDS: Final = 10.0
_SOON_SECONDS: Final = 5.0
_LONGEST_WAIT_SECONDS: Final = 10.0

_Child = subprocess.Popen[bytes]


class AcceptorPool:
    """Runs ``receive.processes`` processes that share one listening socket.

    A process that ends, for whatever reason, costs its own associations: connections that nobody
    has accepted yet wait in the kernel, and another process accepts them.

    Parameters
    ----------
    tls : certificates of [tls], needed with ``receive.tls``
    log_format : ``console`` or ``json``
    reporters : archives that may report on storage commitment
    on_kept : callable
        Called after objects are safe on disk, to wake the registrar; must not block.
    """

    def __init__(
        self,
        settings: ReceiveSettings,
        spool: Spool,
        *,
        tls: TlsSettings = NO_CERTIFICATES,
        log_format: str = "console",
        reporters: tuple[Reporter, ...] = (),
        on_kept: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._order = Order(
            settings=settings,
            tls=tls,
            spool=spool.root,
            log_format=log_format,
            reporters=reporters,
        )
        self._on_kept = on_kept
        self._open = open_associations(settings, spool)
        self._listening: socket.socket | None = None
        self._serving: dict[_Child, float] = {}
        self._leaving: set[_Child] = set()
        self._selector = selectors.DefaultSelector()
        self._not_before = 0.0
        self._wait_seconds = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="acceptors", daemon=True)

    def start(self) -> None:
        """Open the port and start the processes; connections wait until the first is ready.

        Raises
        ------
        AddressError
            The address is not one of this machine, or the port is in use or privileged.
        SettingsError
            A certificate of [tls] is missing or wrong; told here once, not by each process.
        """
        settings = self._settings
        if settings.tls:
            server_context(
                self._order.tls, asks_for_certificate=settings.require_client_certificate
            )
        self._listening = listening_socket(settings)
        self._start_missing()
        self._thread.start()

    def stop(self) -> None:
        """Close the port and abort open associations; senders will try again."""
        if self._listening is None:
            return
        self._stopping.set()
        self._thread.join()
        self._listening.close()
        self._listening = None
        children = [*self._serving, *self._leaving]
        for child in children:
            assert child.stdin is not None
            child.stdin.close()
        deadline = time.monotonic() + _STOP_SECONDS
        for child in children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
            self._bury(child)
        self._selector.close()

    def open_tokens(self) -> frozenset[str]:
        """Return the tokens of the open associations."""
        return self._open.tokens()

    def latest_objects(self) -> list[SentObject]:
        """Return the latest object of each open association, which may send more of its study."""
        return self._open.latest_objects()

    def process_ids(self) -> list[int]:
        """Return the process IDs of those that accept associations."""
        return [child.pid for child in list(self._serving)]

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                for key, _ in self._selector.select(_TICK_SECONDS):
                    self._listen_to(key.data)
                self._start_missing()
            except Exception as error:  # without this thread no process would be replaced
                log.exception("step_failed", reason=type(error).__name__)
                self._wait_before_the_next_start()

    def _listen_to(self, child: _Child) -> None:
        assert child.stdout is not None
        told = os.read(child.stdout.fileno(), 65_536)
        if KEPT in told:
            self._on_kept()
        if LEAVING in told and self._serving.pop(child, None) is not None:
            self._leaving.add(child)
        if not told:
            self._see_end(child)

    def _see_end(self, child: _Child) -> None:
        started = self._serving.pop(child, None)
        self._leaving.discard(child)
        status = self._bury(child)
        if started is None and status == 0:
            return
        log.error("acceptor_ended", status=status, detail="its associations were cut off")
        is_hopeless = started is not None and time.monotonic() - started < _SOON_SECONDS
        if is_hopeless:
            self._wait_before_the_next_start()
        else:
            self._not_before = self._wait_seconds = 0.0

    def _wait_before_the_next_start(self) -> None:
        self._wait_seconds = min(max(2 * self._wait_seconds, 0.5), _LONGEST_WAIT_SECONDS)
        self._not_before = time.monotonic() + self._wait_seconds

    def _start_missing(self) -> None:
        if time.monotonic() < self._not_before:
            return
        while len(self._serving) < self._settings.processes:
            try:
                child = self._start()
            except OSError as error:
                log.error("acceptor_not_started", detail=error.strerror)  # noqa: TRY400
                self._wait_before_the_next_start()
                return
            self._serving[child] = time.monotonic()

    def _start(self) -> _Child:
        assert self._listening is not None
        port = self._listening.fileno()
        # -P: what lies in the working directory is not imported.
        command = [sys.executable, "-P", "-m", "dicom_node.receive.acceptor_process", str(port)]
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[port],
            # A heap for each of many threads would hold memory that none of them uses.
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        )
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):  # it has ended already, which the selector will tell
            child.stdin.write(pickle.dumps(self._order))
            child.stdin.flush()
        self._selector.register(child.stdout, selectors.EVENT_READ, child)
        return child

    def _bury(self, child: _Child) -> int:
        """Clean up after a process that has ended; return its exit status."""
        assert child.stdin is not None
        assert child.stdout is not None
        status = child.wait()
        self._selector.unregister(child.stdout)
        child.stdout.close()
        with suppress(BrokenPipeError):
            child.stdin.close()
        with suppress(OSError):  # a disk that has become read-only takes no deletion
            self._spool.clear_partial(child.pid)
        return status
