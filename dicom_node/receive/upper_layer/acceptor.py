"""Accepts associations: each has a place that all processes see, and a thread of its own."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from dicom_node.receive.upper_layer.lobby import ASK_AGAIN, Lobby
from dicom_node.receive.upper_layer.making_room import (
    Activity,
    ServedAssociation,
    association_to_end,
)
from dicom_node.receive.upper_layer.negotiation import NO_PLACE, Rejection, Request
from dicom_node.receive.upper_layer.pdus import AbortReason, AssociationEndedError, abort, reject
from dicom_node.spool.open_associations import NoPlaceError, OpenAssociations, Place
from dicom_node.spool.wanted_room import WantedRoom
from dicom_node.tls import RenewingContext

log = structlog.get_logger("dicom_node.listener")

_STOP_SECONDS: Final = 5.0

Judge = Callable[[socket.socket, str, Request], Rejection | None]
"""Says of a connection, an address and a request whether the association is rejected."""

Serve = Callable[[socket.socket, str, Request, Place, Activity], None]
"""Serves an association until it is released, and notes what it is doing."""


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
        self._wanted = WantedRoom(places.folder)
        self._associations: dict[ServedAssociation, None] = {}  # in the order of their coming
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
            associations = list(self._associations)
        for association in associations:
            _hang_up(association)
        deadline = time.monotonic() + _STOP_SECONDS
        for association in associations:
            assert association.thread is not None
            association.thread.join(max(0.0, deadline - time.monotonic()))
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
            return not self._associations and self._lobby.is_empty()

    def end_one_that_stands_still(self) -> None:
        """End an association over which no object comes, if there is one."""
        self._end_one(None, for_known=True)

    def heed_other_processes(self) -> None:
        """End an association if another process waits for a place and has none to end."""
        asked = self._wanted.asked()
        if asked is not None:
            address, for_known = asked
            self._end_one(address, for_known=for_known)

    def _admit(
        self, line: socket.socket, address: str, request: Request, is_last_time: bool
    ) -> bytes | None:
        """Start an association's thread; or return the PDU that dismisses the connection."""
        rejection = self._judge(line, address, request)
        if rejection is not None:
            return rejected(rejection, address, request)
        if self._stopping:
            return rejected(NO_PLACE, address, request, "the node is stopping")
        try:
            place = self._places.take_place(address)
        except (NoPlaceError, OSError) as error:
            if isinstance(error, NoPlaceError) and not is_last_time:
                self._make_room(address, error)
                return ASK_AGAIN
            return rejected(NO_PLACE, address, request, str(error))
        if not self._start(
            ServedAssociation(line, address, request.calling_ae_title), request, place
        ):
            return rejected(NO_PLACE, address, request, "no thread can be started")
        return None

    def _start(self, association: ServedAssociation, request: Request, place: Place) -> bool:
        """Start the thread that serves an association; whether that was possible."""
        association.thread = threading.Thread(
            target=self._run, args=(association, request, place), name="association", daemon=True
        )
        with self._lock:
            self._associations[association] = None
            self.accepted += 1
        try:
            association.thread.start()
        except RuntimeError:  # no memory for another thread
            self._out_of_memory = True
            self._ended(association, place)
            return False
        return True

    def _make_room(self, address: str, error: NoPlaceError) -> None:
        """End an association that does nothing, here or in another process."""
        whose = address if error.of_address else None
        for_known = self._places.is_known(address)
        if not self._end_one(whose, for_known=for_known):
            with suppress(OSError):  # a full disk: others are not told
                self._wanted.ask(whose, for_known=for_known)

    def _end_one(self, address: str | None, *, for_known: bool) -> bool:
        """Tell one association to end; whether one is ending."""
        now = time.monotonic()
        with self._lock:
            associations = list(self._associations)
        association = association_to_end(
            associations, address=address, for_known=for_known, now=now
        )
        if association is None:
            return any(one.is_told_to_end for one in associations)
        association.is_told_to_end = True
        _hang_up(association)
        return True

    def _run(self, association: ServedAssociation, request: Request, place: Place) -> None:
        """Serve one association, and say how it ended unless it was released."""
        address = association.address
        try:
            self._serve(association.line, address, request, place, association.activity)
        except AssociationEndedError as error:
            if self._stopping:
                _log_abort("node-stopped", str(error), address, request)
            elif association.is_told_to_end:
                with suppress(OSError):
                    association.line.send(abort(AbortReason.NOT_SPECIFIED))
                _log_abort("crowded-out", "it did nothing while others waited", address, request)
            else:
                _log_abort(error.reason, str(error), address, request)
        except MemoryError:
            self._out_of_memory = True
            _log_abort("out-of-memory", "receive.process_memory_bytes", address, request)
        except Exception as error:  # the outermost frame of this thread
            log.exception("association_failed", reason=type(error).__name__, address=address)
        finally:
            self._ended(association, place)
            self._lobby.see_off(association.line, address)

    def _ended(self, association: ServedAssociation, place: Place) -> None:
        # Only now: what came over the association is in the spool.
        place.close()
        with self._lock:
            self._associations.pop(association, None)


def _hang_up(association: ServedAssociation) -> None:
    with suppress(OSError):  # it has ended meanwhile
        socket.socket.shutdown(association.line, socket.SHUT_RD)  # its thread sees the end


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
