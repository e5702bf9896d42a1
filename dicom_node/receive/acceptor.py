"""Accepts associations: each has a place that all processes see, and a thread of its own."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from dicom_node.receive.lobby import Lobby
from dicom_node.receive.negotiation import NO_PLACE, Rejection, Request
from dicom_node.receive.pdus import AssociationEndedError, reject
from dicom_node.spool.open_associations import NoPlaceError, OpenAssociations, Place
from dicom_node.tls import RenewingContext

log = structlog.get_logger("dicom_node.listener")

_STOP_SECONDS: Final = 5.0

Judge = Callable[[socket.socket, str, Request], Rejection | None]
"""Says of a connection, an address and a request whether the association is rejected."""

Serve = Callable[[socket.socket, str, Request, Place], None]
"""Serves an association until it is released."""


class Acceptor:
    """Takes connections from a `Lobby` and serves each association in a thread.

    Parameters
    ----------
    listening : socket
        Bound and listening; may be shared with other processes.
    places : OpenAssociations
        An association holds a place until its thread has kept all that came over it.
    judge : callable
        Called in the lobby's thread; must not block.
    """

    def __init__(
        self,
        listening: socket.socket,
        places: OpenAssociations,
        *,
        judge: Judge,
        serve: Serve,
        request_seconds: float,
        tls: RenewingContext | None,
    ) -> None:
        self._listening = listening
        self._places = places
        self._judge = judge
        self._serve = serve
        self._lobby = Lobby(listening, self._admit, request_seconds=request_seconds, tls=tls)
        self._lobby_thread = threading.Thread(target=self._lobby.serve, name="lobby", daemon=True)
        self._lines: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self.accepted = 0
        """Associations that were given a place so far."""
        self._out_of_memory = False

    def start(self) -> None:
        """Serve connections in background threads."""
        self._lobby_thread.start()

    def stop(self) -> None:
        """Close the port and abort open associations; senders will try again."""
        self._stopping = True
        with self._lock:
            lines = dict(self._lines)
        for line in lines.values():
            try:
                socket.socket.shutdown(line, socket.SHUT_RD)  # its thread sees the end
            except OSError:
                continue  # it has ended meanwhile
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in lines:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._lobby.stop()
        self._lobby_thread.join(_STOP_SECONDS)
        self._listening.close()

    def close_door(self) -> None:
        """Accept no further connection; open associations go on."""
        self._lobby.close_door()

    @property
    def out_of_memory(self) -> bool:
        """Whether a connection ended because the process has reached its memory limit."""
        return self._out_of_memory or self._lobby.out_of_memory

    def is_idle(self) -> bool:
        """Whether no association is open and no connection waits."""
        with self._lock:
            return not self._lines and self._lobby.is_empty()

    def _admit(self, line: socket.socket, address: str, request: Request) -> bytes | None:
        """Start an association's thread; or return the PDU that dismisses the connection."""
        rejection = self._judge(line, address, request)
        if rejection is not None:
            return rejected(rejection, address, request)
        if self._stopping:
            return rejected(NO_PLACE, address, request, "the node is stopping")
        try:
            place = self._places.take_place(address)
        except (NoPlaceError, OSError) as error:
            return rejected(NO_PLACE, address, request, str(error))
        thread = threading.Thread(
            target=self._run, args=(line, address, request, place), name="association", daemon=True
        )
        with self._lock:
            self._lines[thread] = line
            self.accepted += 1
        try:
            thread.start()
        except RuntimeError:  # no memory for another thread
            self._out_of_memory = True
            self._ended(thread, place)
            return rejected(NO_PLACE, address, request, "no thread can be started")
        return None

    def _run(self, line: socket.socket, address: str, request: Request, place: Place) -> None:
        """Serve one association, and say how it ended unless it was released."""
        try:
            self._serve(line, address, request, place)
        except AssociationEndedError as error:
            reason = "node-stopped" if self._stopping else error.reason
            _log_abort(reason, str(error), address, request)
        except MemoryError:
            self._out_of_memory = True
            _log_abort("out-of-memory", "receive.process_memory_bytes", address, request)
        except Exception as error:  # the outermost frame of this thread
            log.exception("association_failed", reason=type(error).__name__, address=address)
        finally:
            self._ended(threading.current_thread(), place)
            self._lobby.see_off(line, address)

    def _ended(self, thread: threading.Thread, place: Place) -> None:
        # Only now: what came over the association is in the spool.
        place.close()
        with self._lock:
            self._lines.pop(thread, None)


def rejected(rejection: Rejection, address: str, request: Request, detail: str = "") -> bytes:
    """Log a rejection; return its PDU."""
    log.warning(
        "association_rejected",
        reason=rejection.cause,
        detail=detail,
        address=address,
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
    )
    return reject(rejection.result, rejection.source, rejection.diagnostic)


def _log_abort(reason: str, detail: str, address: str, request: Request) -> None:
    log.warning(
        "association_aborted",
        reason=reason,
        detail=detail,
        address=address,
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
    )
