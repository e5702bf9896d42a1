"""PDUs of the upper layer: read within bounds and deadlines, and written (PS3.8 9.3)."""

import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from dicom_node.errors import NodeError
from dicom_node.network import MAXIMUM_PDU_BYTES

HEADER_BYTES: Final = 6
_HEADER: Final = struct.Struct(">BxL")
_PDV_HEADER: Final = struct.Struct(">LBB")
_PDV_LENGTH: Final = struct.Struct(">L")


class PduType(IntEnum):
    """PDU types (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class AbortReason(IntEnum):
    """Reasons of an A-ABORT by the service provider (PS3.8 table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class AssociationEndedError(NodeError):
    """The association cannot go on."""

    reason: ClassVar[str] = "association-ended"
    abort: ClassVar[bool] = True
    """Whether the peer is told by an A-ABORT."""


class ProtocolError(AssociationEndedError):
    """The peer sent what PS3.8 or PS3.7 does not allow, or more than it was allowed to."""

    reason = "protocol-error"

    def __init__(self, message: str, abort_reason: AbortReason) -> None:
        super().__init__(message)
        self.abort_reason = abort_reason


class SilentPeerError(AssociationEndedError):
    """The peer did not send, or not take, what it had to within its time."""

    reason = "timeout"


class PeerAbortedError(AssociationEndedError):
    """The peer sent an A-ABORT."""

    reason = "aborted-by-peer"
    abort = False


class ConnectionLostError(AssociationEndedError):
    """The connection was closed or reset without a release."""

    reason = "connection-lost"
    abort = False


@dataclass(frozen=True, slots=True)
class Fragment:
    """One presentation data value (PS3.8 9.3.5.1).

    Attributes
    ----------
    value : memoryview
        Valid until the next fragment is read.
    """

    context_id: int
    is_command: bool
    is_last: bool
    value: memoryview


class PduStream:
    """Reads PDUs from a connection into one buffer that never grows.

    A PDU's type and length are judged by its header, before a byte of its content is read.

    Parameters
    ----------
    line : socket
        Plain or wrapped by TLS; read and written by one thread.
    pdu_seconds : seconds
        Within which a PDU must be complete once it has begun, and an answer must be taken.
    """

    def __init__(self, line: socket.socket, *, pdu_seconds: float) -> None:
        self._line = line
        self._pdu_seconds = pdu_seconds
        self._buffer = memoryview(bytearray(HEADER_BYTES + MAXIMUM_PDU_BYTES))
        self._begin = self._end = 0

    def next_pdu(self, deadline: float) -> tuple[PduType, memoryview]:
        """Return type and content of the next PDU; the content is valid until the next call.

        Parameters
        ----------
        deadline : seconds of time.monotonic
            Until which the PDU must be complete; if it has begun, also within `pdu_seconds`.

        Raises
        ------
        SilentPeerError, ConnectionLostError, ProtocolError
        """
        if self._begin == self._end:
            self._begin = self._end = 0
            self._receive(deadline)
        deadline = min(deadline, time.monotonic() + self._pdu_seconds)
        self._require(HEADER_BYTES, deadline)
        number, length = _HEADER.unpack_from(self._buffer, self._begin)
        kind = checked_header(number, length)
        self._require(HEADER_BYTES + length, deadline)
        begin = self._begin + HEADER_BYTES
        self._begin = begin + length
        return kind, self._buffer[begin : self._begin]

    def is_silent(self, seconds: float) -> bool:
        """Wait for a while for the peer's next PDU; return whether nothing of it has come."""
        if self._begin < self._end:
            return False
        if isinstance(self._line, ssl.SSLSocket) and self._line.pending():
            return False
        poll = select.poll()  # unlike select(), for descriptors of any number
        poll.register(self._line, select.POLLIN)
        return not poll.poll(seconds * 1000)

    def send(self, pdu: bytes) -> None:
        """Send a PDU; a peer that does not take it within `pdu_seconds` is silent."""
        self._line.settimeout(self._pdu_seconds)
        try:
            self._line.sendall(pdu)
        except TimeoutError:
            raise SilentPeerError("the peer does not read its answers") from None
        except OSError as error:
            raise ConnectionLostError(f"sending failed: {error.strerror or error}") from error

    def _require(self, count: int, deadline: float) -> None:
        """Receive until the buffer holds a number of bytes from its beginning on."""
        if len(self._buffer) - self._begin < count:
            rest = bytes(self._buffer[self._begin : self._end])
            self._begin, self._end = 0, len(rest)
            self._buffer[: self._end] = rest
        while self._end - self._begin < count:
            self._receive(deadline)

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError  # noqa: TRY301 # the same end as that of a silent line
            self._line.settimeout(left)
            count = self._line.recv_into(self._buffer[self._end :])
        except TimeoutError:
            raise SilentPeerError(
                "in the middle of a PDU" if self._end > self._begin else "between PDUs"
            ) from None
        except OSError as error:
            raise ConnectionLostError(f"receiving failed: {error.strerror or error}") from error
        if not count:
            raise ConnectionLostError("the peer closed the connection")
        self._end += count


def checked_header(number: int, length: int) -> PduType:
    """Return a PDU's type if it may come within an association and its length may be true.

    Raises
    ------
    ProtocolError
        The peer does not keep to PS3.8; nothing of the PDU's content has been read.
    """
    try:
        kind = PduType(number)
    except ValueError:
        raise ProtocolError(
            f"PDU type 0x{number:02X} does not exist", AbortReason.UNRECOGNIZED_PDU
        ) from None
    if kind is PduType.P_DATA:
        if length > MAXIMUM_PDU_BYTES:
            raise ProtocolError(
                f"a P-DATA PDU of {length} bytes, {MAXIMUM_PDU_BYTES} are allowed",
                AbortReason.INVALID_PARAMETER,
            )
    elif kind not in {PduType.RELEASE_RQ, PduType.ABORT}:
        raise ProtocolError(f"unexpected PDU {kind.name}", AbortReason.UNEXPECTED_PDU)
    elif length != 4:
        raise ProtocolError(f"{kind.name} of {length} bytes", AbortReason.INVALID_PARAMETER)
    return kind


def fragments(content: memoryview) -> Iterator[Fragment]:
    """Yield the presentation data values of one P-DATA PDU.

    Raises
    ------
    ProtocolError
        At once, if a length is not that of a value, or the values are not the PDU's content.
    """
    at = 0
    while len(content) - at >= _PDV_HEADER.size:
        (length,) = _PDV_LENGTH.unpack_from(content, at)
        if length < 2:
            break
        at += 4 + length
    if at != len(content) or not len(content):
        raise ProtocolError(
            "a presentation data value does not fit its PDU", AbortReason.INVALID_PARAMETER
        )
    return _fragments_of_checked(content)


def _fragments_of_checked(content: memoryview) -> Iterator[Fragment]:
    at = 0
    while at < len(content):
        length, context_id, control = _PDV_HEADER.unpack_from(content, at)
        value = content[at + _PDV_HEADER.size : at + 4 + length]
        yield Fragment(context_id, bool(control & 1), bool(control & 2), value)
        at += 4 + length


def data_pdus(
    context_id: int, command: bytes, maximum_bytes: int, *, is_command: bool = True
) -> bytes:
    """Encode a command set as P-DATA PDUs that the peer can receive.

    Parameters
    ----------
    is_command : False for a data set in its place
    maximum_bytes : bytes
        The peer's limit for the content of a PDU; 0: none (PS3.8 D.1).
    """
    size = max(maximum_bytes - _PDV_HEADER.size, 1) if maximum_bytes else len(command)
    pdus = b""
    for begin in range(0, len(command), size):
        value = command[begin : begin + size]
        is_last = begin + size >= len(command)
        pdv = _PDV_HEADER.pack(len(value) + 2, context_id, is_command | is_last << 1) + value
        pdus += _HEADER.pack(PduType.P_DATA, len(pdv)) + pdv
    return pdus


def release_reply() -> bytes:
    """Encode an A-RELEASE-RP (PS3.8 9.3.7)."""
    return _HEADER.pack(PduType.RELEASE_RP, 4) + bytes(4)


def abort(reason: AbortReason) -> bytes:
    """Encode an A-ABORT of the service provider (PS3.8 9.3.8)."""
    return _HEADER.pack(PduType.ABORT, 4) + bytes([0, 0, 2, reason])


def reject(result: int, source: int, diagnostic: int) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return _HEADER.pack(PduType.ASSOCIATE_RJ, 4) + bytes([0, result, source, diagnostic])
