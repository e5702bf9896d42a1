"""The lobby: new connections wait here, at next to no cost, until their request is complete."""

import errno
import selectors
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from dicom_node.receive.upper_layer.negotiation import MAXIMUM_REQUEST_BYTES, Request
from dicom_node.receive.upper_layer.pdus import HEADER_BYTES, AbortReason, PduType, abort
from dicom_node.tls import RenewingContext, words_for

log = structlog.get_logger("dicom_node.listener")

MAXIMUM_WAITING: Final = 400
"""Connections that may wait; one more crowds out the oldest of the address with most of them."""

MAXIMUM_WAITING_BYTES: Final = 16_000_000
"""What incomplete requests may hold in memory together."""

_SHORTEST_REQUEST: Final = 68
_ACCEPT_AT_ONCE: Final = 64
_PLACE_SECONDS: Final = 1.5
_ASK_SECONDS: Final = 0.05
_ASK_AT_ONCE: Final = 8
_LEAVING_SECONDS: Final = 5.0
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

ASK_AGAIN: Final = b""

OnRequest = Callable[[socket.socket, str, Request, bool], bytes | None]
"""Takes a connection with its address and request, or returns the PDU to dismiss it with.

Unless it is asked for the last time, it may return `ASK_AGAIN` for a connection to be taken later.
"""


@dataclass(eq=False, slots=True)
class _Connection:
    line: socket.socket
    address: str
    until: float
    leaving: bool = False
    in_handshake: bool = False
    received: bytearray = field(default_factory=bytearray)
    request: Request | None = None
    """Complete, and waiting for a place."""


class Lobby:
    """Accepts connections and hands over those that have sent a whole association request.

    One thread serves all of them, without blocking. A connection that says nothing costs a
    descriptor for `request_seconds`; one that is closed without a byte, as by a load balancer's
    probe, is not worth a log line.

    Parameters
    ----------
    listening : socket
        Bound and listening; may be shared with other processes.
    tls : RenewingContext or None
        The handshake counts into `request_seconds`.
    """

    def __init__(
        self,
        listening: socket.socket,
        on_request: OnRequest,
        *,
        request_seconds: float,
        tls: RenewingContext | None = None,
    ) -> None:
        self._listening = listening
        self._on_request = on_request
        self._request_seconds = request_seconds
        self._tls = tls
        self._connections: dict[_Connection, None] = {}  # in the order of their coming
        self._bytes = 0
        self._ask_at = 0.0
        self._seen_off: deque[tuple[socket.socket, str]] = deque()
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._accepting = self._stopping = self._has_stopped = False
        self.out_of_memory = False
        """Whether a connection failed because the process has reached its memory limit."""

    def serve(self) -> None:
        """Serve connections until `stop`; runs in a thread of its own."""
        self._listening.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._accepting = True
        while not self._stopping:
            for key, _ in self._selector.select(0.25 if not self._ask_at else _ASK_SECONDS):
                self._attend_to(key)
            self._ask_for_places()
            self._end_overdue()
        for connection in list(self._connections):
            self._close(connection)
        self._has_stopped = True
        self._close_those_seen_off()
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _attend_to(self, key: selectors.SelectorKey) -> None:
        """Do what is due at a socket; whatever goes wrong costs one connection only."""
        try:
            if key.fileobj is self._listening:
                self._accept()
            elif key.fileobj is self._woken:
                self._take_those_seen_off()
            elif key.data in self._connections:
                self._read(key.data)
        except Exception as error:  # noqa: BLE001  this thread serves everybody
            self._failed(key.data, error)

    def _failed(self, connection: _Connection | None, error: Exception) -> None:
        self.out_of_memory = self.out_of_memory or isinstance(error, MemoryError)
        address = "" if connection is None else connection.address
        log.exception("connection_failed", reason=type(error).__name__, address=address)
        if connection is not None:
            self._close(connection)

    def close_door(self) -> None:
        """Accept no further connection; those that wait are still served."""
        self._accepting = False
        self._wake()

    def stop(self) -> None:
        """End `serve` and close what waits."""
        self._stopping = True
        self._wake()

    def is_empty(self) -> bool:
        """Whether no connection waits with a request."""
        return all(one.leaving for one in list(self._connections))

    def see_off(self, line: socket.socket, address: str) -> None:
        """Close a connection once the peer has read its last PDU, or soon; from any thread."""
        self._seen_off.append((line, address))
        self._wake()
        if self._has_stopped:
            self._close_those_seen_off()

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except OSError:
            return  # so many wake-ups wait that one more tells nothing, or it has stopped

    def _take_those_seen_off(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        if not self._accepting and self._listening in self._selector.get_map():
            self._selector.unregister(self._listening)
        while self._seen_off:
            line, address = self._seen_off.popleft()
            line.setblocking(False)
            connection = self._enter(_Connection(line, address, 0.0))
            self._dismiss(connection, b"")

    def _close_those_seen_off(self) -> None:
        """Close what nobody waits for any more; from any thread."""
        with suppress(IndexError):
            while True:
                self._seen_off.popleft()[0].close()

    def _accept(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                line, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    log.warning("connection_not_accepted", reason=errno.errorcode[error.errno or 0])
                    self._crowd_out()
                    time.sleep(0.02)  # the connection waits in the kernel; do not spin on it
                return
            try:
                self._greet(line, str(address[0]).removeprefix("::ffff:"))
            except OSError:
                line.close()  # reset before it was greeted

    def _greet(self, line: socket.socket, address: str) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        line.setblocking(False)
        if self._tls is not None:
            line = self._tls.wrap_socket(line)
        until = time.monotonic() + self._request_seconds
        if len(self._connections) >= MAXIMUM_WAITING:
            self._crowd_out()
        self._enter(_Connection(line, address, until, in_handshake=self._tls is not None))

    def _enter(self, connection: _Connection) -> _Connection:
        self._connections[connection] = None
        self._selector.register(connection.line, selectors.EVENT_READ, connection)
        return connection

    def _read(self, connection: _Connection) -> None:
        try:
            if connection.leaving:
                if not connection.line.recv(65_536):
                    self._close(connection)
                return
            if connection.in_handshake:
                connection.line.do_handshake()  # type: ignore[attr-defined]  # an SSLSocket
                connection.in_handshake = False
            while self._receive(connection):
                pass
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except ssl.SSLError as error:
            self._end(connection, "tls-handshake-failed", words_for(error))
        except OSError as error:
            self._end(connection, "connection-lost", error.strerror or type(error).__name__)

    def _receive(self, connection: _Connection) -> bool:
        """Receive a part of a request; return whether there is more to receive."""
        received = connection.received
        expected = HEADER_BYTES
        if len(received) >= HEADER_BYTES:
            expected += int.from_bytes(received[2:6], "big")
        part = connection.line.recv(min(expected - len(received), 65_536))
        if not part:
            self._end(connection, "connection-lost", "the peer closed the connection")
            return False
        received += part
        self._bytes += len(part)
        if received[0] != PduType.ASSOCIATE_RQ:
            self._refuse(connection, AbortReason.UNEXPECTED_PDU, f"begins with 0x{received[0]:02X}")
            return False
        if len(received) < HEADER_BYTES:
            return True
        length = int.from_bytes(received[2:6], "big")
        if not _SHORTEST_REQUEST <= length <= MAXIMUM_REQUEST_BYTES:
            detail = f"an association request of {length} bytes"
            self._refuse(connection, AbortReason.INVALID_PARAMETER, detail)
            return False
        if len(received) == HEADER_BYTES + length:
            self._hand_over(connection)
            return False
        while self._bytes > MAXIMUM_WAITING_BYTES:
            largest = max(self._connections, key=lambda one: len(one.received))
            self._end(largest, "crowded-out", "incomplete requests hold too much memory")
        return connection in self._connections

    def _hand_over(self, connection: _Connection) -> None:
        connection.request = Request(bytes(connection.received))
        connection.until = time.monotonic() + _PLACE_SECONDS
        # What the peer sends now is for whoever serves the association.
        self._selector.unregister(connection.line)
        self._ask(connection)

    def _ask_for_places(self) -> None:
        """Ask again for those that wait for a place: first whoever asks for the fewest."""
        now = time.monotonic()
        if now < self._ask_at:
            return
        waiting = [one for one in self._connections if one.request is not None]
        asked: Counter[tuple[str, str]] = Counter()
        turns = []
        for one in waiting:
            assert one.request is not None
            peer = (one.address, one.request.calling_ae_title)
            asked[peer] += 1
            turns.append((one.until > now, asked[peer], one))
        turns.sort(key=lambda turn: turn[:2])
        overdue = sum(not is_early for is_early, _, _ in turns)
        for _, _, one in turns[: overdue + _ASK_AT_ONCE]:
            self._ask(one)
        is_anyone_left = any(one.request is not None for one in self._connections)
        self._ask_at = now + _ASK_SECONDS if is_anyone_left else 0.0

    def _ask(self, connection: _Connection) -> None:
        assert connection.request is not None
        is_last = connection.until <= time.monotonic()
        line, address = connection.line, connection.address
        try:
            farewell = self._on_request(line, address, connection.request, is_last)
        except Exception as error:  # noqa: BLE001  and others wait behind this one
            self._failed(connection, error)
            return
        if farewell == ASK_AGAIN:
            self._ask_at = self._ask_at or time.monotonic() + _ASK_SECONDS
            return
        self._forget(connection)
        connection.request = None
        if farewell is not None:
            self._enter(connection)
            self._dismiss(connection, farewell)

    def _refuse(self, connection: _Connection, reason: AbortReason, detail: str) -> None:
        log.warning(
            "connection_ended", reason="protocol-error", detail=detail, address=connection.address
        )
        self._dismiss(connection, abort(reason))

    def _dismiss(self, connection: _Connection, farewell: bytes) -> None:
        """Send a last PDU, then wait a moment for the peer to read it and to close.

        Closing at once with unread bytes would reset the connection and lose the PDU.
        """
        self._forget_bytes(connection)
        connection.leaving = True
        connection.until = time.monotonic() + _LEAVING_SECONDS
        try:
            if farewell:
                connection.line.send(farewell)
            # Who is rejected closes the connection (PS3.8 9.2.3, AE-4). Some libraries forget the
            # rejection if they see the end of the stream in the same moment.
            if farewell[:1] != bytes([PduType.ASSOCIATE_RJ]):
                socket.socket.shutdown(connection.line, socket.SHUT_WR)  # beneath TLS too
        except (OSError, ValueError):
            self._close(connection)

    def _end(self, connection: _Connection, reason: str, detail: str) -> None:
        lost_in_silence = reason == "connection-lost" and not connection.received
        if not lost_in_silence and not connection.leaving:
            log.warning(
                "connection_ended", reason=reason, detail=detail, address=connection.address
            )
        self._close(connection)

    def _crowd_out(self) -> None:
        """Make room: end the oldest connection of the address that has most of them."""
        waiting = Counter(one.address for one in self._connections)
        if not waiting:
            return
        address = waiting.most_common(1)[0][0]
        oldest = next(one for one in self._connections if one.address == address)
        self._end(oldest, "crowded-out", f"{waiting[address]} connections from this address wait")

    def _end_overdue(self) -> None:
        now = time.monotonic()
        overdue = [one for one in self._connections if one.until <= now and one.request is None]
        for connection in overdue:
            said = len(connection.received)
            self._end(connection, "timeout", f"no association request, {said} bytes of one")

    def _close(self, connection: _Connection) -> None:
        self._forget(connection)
        connection.line.close()

    def _forget(self, connection: _Connection) -> None:
        if connection in self._connections:
            del self._connections[connection]
            if connection.request is None:  # or it is not registered
                self._selector.unregister(connection.line)
        self._forget_bytes(connection)

    def _forget_bytes(self, connection: _Connection) -> None:
        self._bytes -= len(connection.received)
        connection.received = bytearray()
