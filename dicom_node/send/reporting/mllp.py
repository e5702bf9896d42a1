"""Sends HL7 messages over MLLP, and waits for the acknowledgement of each."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError, SettingsError
from dicom_node.name_lookup import connected_to_one_of, look_up
from dicom_node.send.reporting.acknowledgement import Acknowledgement, read_acknowledgement
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.reporting import Hl7Destination
from dicom_node.tls import client_context, words_for

_START: Final = b"\x0b"
_END: Final = b"\x1c"
_LONGEST_ANSWER_BYTES: Final = 256 * 1024
"""Of everything that is read for one message: an acknowledgement has some hundred bytes."""


class MllpConnection:
    """A connection to a receiver, which the deadline holds."""

    def __init__(
        self, destination: Hl7Destination, connection: socket.socket, deadline: Deadline
    ) -> None:
        self._destination = destination
        self._connection = connection
        self._deadline = deadline
        self._unread = bytearray()

    def exchange(self, message: bytes, control_id: str) -> Acknowledgement:
        """Send a message and return what the receiver says of it.

        Answers to other messages are passed over: one that came too late, for example.

        Raises
        ------
        DestinationDownError
            There is no such answer, not in time, or too much of another kind.
        """
        destination = self._destination
        with self._deadline.within(destination.longest_seconds(len(message))):
            try:
                self._connection.sendall(_START + message + _END + b"\r")
                return self._answer_to(control_id)
            except OSError as error:
                raise self._down(self._words_for(error)) from error

    def _answer_to(self, control_id: str) -> Acknowledgement:
        others = 0
        try:
            for content in self._frames():
                answer = read_acknowledgement(content)
                if answer is not None and answer.control_id == control_id:
                    return answer
                others += 1
        except TimeoutError:
            if not others:
                raise
        if others:
            raise self._down(
                f"gave {others} answers, and none to the message that was sent (MSA-2)"
            )
        raise self._down("closed the connection without an answer")

    def _frames(self) -> Iterator[bytes]:
        """Yield the content of each frame until the connection ends or too much has come."""
        seen = len(self._unread)
        while True:
            while (content := self._next_frame()) is not None:
                yield content
            # What lies outside frames, or before a start within one, is nothing.
            start = self._unread.rfind(_START)
            del self._unread[: start if start >= 0 else len(self._unread)]
            chunk = self._connection.recv(4096)
            if not chunk:
                return
            seen += len(chunk)
            if seen > _LONGEST_ANSWER_BYTES:
                raise self._down("sends more than an acknowledgement")
            self._unread += chunk

    def _next_frame(self) -> bytes | None:
        # The carriage return behind the end is not waited for: some receivers leave it out.
        end = self._unread.find(_END)
        if end < 0:
            return None
        frame = bytes(self._unread[:end])
        del self._unread[: end + 1]
        _, found, content = frame.rpartition(_START)
        return content if found else b""

    def _words_for(self, error: OSError) -> str:
        if self._deadline.passed:
            return self._destination.words_for_lateness
        if isinstance(error, TimeoutError):
            return f"gave no answer for timeout_seconds ({self._destination.timeout_seconds:g} s)"
        return f"ended the connection: {words_for(error)}"

    def _down(self, words: str) -> DestinationDownError:
        if self._deadline.passed:
            words = self._destination.words_for_lateness
        return DestinationDownError(f"{self._destination.name}: {words}")


@contextmanager
def connected(
    destination: Hl7Destination, tls: TlsSettings = NO_CERTIFICATES
) -> Iterator[MllpConnection]:
    """Open a connection to a receiver; it ends with the block.

    Parameters
    ----------
    tls : certificates of [tls]

    Raises
    ------
    DestinationDownError
        Nobody answers there, or the TLS handshake fails.
    """
    with Deadline() as deadline, contextlib.ExitStack() as stack:
        try:
            with deadline.within(destination.longest_seconds()):
                connection = stack.enter_context(_connection(destination, tls, deadline))
        except SettingsError as error:
            raise DestinationDownError(f"{destination.name}: {error}") from error
        except OSError as error:
            words = destination.words_for_lateness if deadline.passed else _words_for(error)
            raise DestinationDownError(
                f"{destination.name} at {destination.host}:{destination.port} does not answer: "
                f"{words}"
            ) from error
        yield MllpConnection(destination, connection, deadline)


def _connection(destination: Hl7Destination, tls: TlsSettings, deadline: Deadline) -> socket.socket:
    seconds = destination.timeout_seconds
    addresses = look_up(destination.host, min(seconds, deadline.seconds_left))
    connection = connected_to_one_of(
        addresses,
        lambda one, share: socket.create_connection((one, destination.port), timeout=share),
        min(seconds, deadline.seconds_left),
    )
    connection.settimeout(seconds)
    deadline.guard(connection)
    if not destination.tls:
        return connection
    try:
        context = client_context(tls.for_peer(destination))
        return context.wrap_socket(
            connection, server_hostname=destination.tls_server_name or destination.host
        )
    except BaseException:
        connection.close()
        raise


def _words_for(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS failed: {words_for(error)}. Check certificates under [[destinations]] and "
            "[tls], and what the receiver trusts."
        )
    if isinstance(error, socket.gaierror):
        return f"its name was not found: {error.strerror}. Check host, and DNS."
    return f"{words_for(error)}. Check that it is running, and host and port."
