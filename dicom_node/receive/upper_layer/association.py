"""One association: takes each message as it comes, in bounded memory, and answers it."""

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Protocol
from uuid import uuid4

from dicom_node.errors import OutOfResourcesError
from dicom_node.receive.upper_layer.commands import (
    COMMAND_BYTES,
    Command,
    CommandField,
    decode_command,
    encode_event_report,
    encode_response,
)
from dicom_node.receive.upper_layer.making_room import Activity
from dicom_node.receive.upper_layer.negotiation import Agreement
from dicom_node.receive.upper_layer.pdus import (
    AbortReason,
    AssociationEndedError,
    Fragment,
    PduStream,
    PduType,
    PeerAbortedError,
    ProtocolError,
    abort,
    data_pdus,
    fragments,
    release_reply,
)

PROGRESS_BYTES: Final = 262_144
"""What must come of an object within the progress time, unless the object ends."""

UNRECOGNIZED_OPERATION: Final = 0x0211
"""Status for a request that the node does not serve (PS3.7 C.5.24)."""

_OTHER_DATA_BYTES: Final = 1_000_000

_EMPTY_FRAGMENTS: Final = 1000
"""Most fragments without content in one message: each costs the processor as much as a full one."""

_LOOK_SECONDS: Final = 0.2
"""How often an association is looked at whose peer waits for a report."""

_MESSAGES_AT_ONCE: Final = 50
_PAUSE_SECONDS: Final = 0.02
"""After so many messages of which nothing is kept, each is answered later: a flood of them would
take the processor from everybody else."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a peer may take, in seconds.

    Attributes
    ----------
    idle : between two messages
    pdu : for one PDU once it has begun, and to take an answer
    progress : for PROGRESS_BYTES of an object
    """

    idle: float
    pdu: float
    progress: float


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE or other request and the context under which it came."""

    command: Command
    abstract_syntax: str
    transfer_syntax: str
    context_id: int = 0


class Telling(Protocol):
    """What has something to tell the peer once it has asked, without being asked again."""

    @property
    def is_expected(self) -> bool:
        """Whether the peer has asked for anything."""

    def next_report(self) -> tuple[StoreRequest, int, bytes] | None:
        """Return the request that it follows, an Event Type ID and a data set; None for now."""

    def told(self, status: int) -> None:
        """Take note of how the peer has answered the last report."""


Store = Callable[[StoreRequest, Iterable[memoryview]], int]
"""Keeps an object whose bytes are still coming, and returns the status to answer."""


class Association:
    """Serves one accepted association until it ends; one message at a time, nothing is queued.

    Parameters
    ----------
    line : socket
        On which the association was accepted.
    store : callable
        Answers C-STORE requests; need not take the whole object.
    services : command field to what answers such requests with a status
        Their data sets are small, and handed over whole.
    telling : what the peer is told between two messages, if it has asked
    maximum_object_bytes : bytes
        An object that is longer raises OutOfResourcesError where `store` takes its bytes; one
        twice as long ends the association.
    """

    def __init__(
        self,
        line: socket.socket,
        agreement: Agreement,
        *,
        store: Store,
        on_echo: Callable[[], None],
        services: Mapping[int, Callable[[StoreRequest, bytes], int]] = MappingProxyType({}),
        maximum_object_bytes: int,
        deadlines: Deadlines,
        activity: Activity,
        telling: Telling | None = None,
    ) -> None:
        self._telling = telling
        self._reports = 0
        self._is_report_open = False
        self._stream = PduStream(line, pdu_seconds=deadlines.pdu)
        self._agreement = agreement
        self._store = store
        self._on_echo = on_echo
        self._services = services
        self._maximum_object_bytes = maximum_object_bytes
        self._deadlines = deadlines
        self._activity = activity
        self._coming: Iterator[Fragment] = iter(())
        self._silent_since = time.monotonic()
        self._has_carried_objects = self._may_tell = False
        self._other_messages = 0
        self._empty_fragments = 0

    def serve(self) -> None:
        """Answer requests until the peer releases the association.

        Raises
        ------
        AssociationEndedError
            It ended in another way; a peer that can be told has been told by an A-ABORT.
        """
        try:
            self._stream.send(self._agreement.reply)
            while (first := self._next_message()) is not None:
                self._empty_fragments = 0
                self._answer(first.context_id, self._command(first))
            self._stream.send(release_reply())
        except AssociationEndedError as error:
            if error.abort:
                self._tell(error)
            raise

    def _answer(self, context_id: int, command: Command) -> None:
        if command.field == CommandField.N_EVENT_REPORT_RESPONSE:
            self._take_response(context_id, command)
            return
        if command.field == CommandField.N_CREATE and not command.sop_instance_uid:
            # The SCP names what the peer leaves without a name (PS3.7 10.1.5.1.4).
            command = replace(command, sop_instance_uid=f"2.25.{uuid4().int}".encode())
        if command.field == CommandField.C_STORE:
            status = self._take_object(context_id, command)
        elif command.field in self._services:
            status = self._take_message(context_id, command)
        else:
            self._pace()
            self._discard(self._data_set(context_id, command), _OTHER_DATA_BYTES)
            if command.field == CommandField.C_CANCEL:
                return  # nothing that the node does lasts long enough to be cancelled
            if command.field == CommandField.C_ECHO:
                self._on_echo()
                status = 0x0000
            else:
                status = UNRECOGNIZED_OPERATION
        response = encode_response(command, status)
        self._stream.send(data_pdus(context_id, response, self._agreement.peer_maximum_bytes))

    def _next_message(self) -> Fragment | None:
        """Wait for the next message, and tell the peer what it waits for meanwhile."""
        deadline = self._idle_deadline()
        # A report goes out between two messages only, one at a time.
        self._may_tell = self._telling is not None and self._telling.is_expected
        try:
            return self._next_fragment(deadline)
        finally:
            self._may_tell = False

    def _tell_while_silent(self, deadline: float) -> None:
        while time.monotonic() < deadline and self._stream.is_silent(_LOOK_SECONDS):
            report = None
            if self._telling is not None and not self._is_report_open:
                report = self._telling.next_report()
            if report is None:
                continue
            request, event_type, content = report
            self._reports += 1
            self._is_report_open = True
            command = encode_event_report(
                self._reports,
                request.abstract_syntax,
                request.command.sop_instance_uid.decode("ascii", errors="replace"),
                event_type,
            )
            most = self._agreement.peer_maximum_bytes
            self._stream.send(data_pdus(request.context_id, command, most))
            self._stream.send(data_pdus(request.context_id, content, most, is_command=False))

    def _take_response(self, context_id: int, command: Command) -> None:
        self._discard(self._data_set(context_id, command), _OTHER_DATA_BYTES)
        if not self._is_report_open or command.message_id != self._reports:
            raise ProtocolError(
                "a response to nothing that the node asked", AbortReason.INVALID_PARAMETER
            )
        self._is_report_open = False
        if self._telling is not None:
            self._telling.told(command.status)

    def _pace(self) -> None:
        """Let a peer wait that sends one message after the other of which nothing is kept."""
        self._other_messages += 1
        if self._other_messages > _MESSAGES_AT_ONCE:
            self._activity.waits_for_peer(True)  # nothing is at work: others may come first
            time.sleep(_PAUSE_SECONDS)
            self._activity.waits_for_peer(False)

    def _take_object(self, context_id: int, command: Command) -> int:
        request = self._request(context_id, command)
        coming = self._data_set(context_id, command)
        status = self._store(request, self._within_limit(coming))
        # What was refused still has to pass before the peer can read the answer (PS3.7 9.3.1).
        self._discard(coming, self._maximum_object_bytes)
        self._has_carried_objects, self._silent_since = True, time.monotonic()
        if status:
            self._pace()
        else:
            self._activity.kept()
        return status

    def _take_message(self, context_id: int, command: Command) -> int:
        self._pace()
        content = bytearray()
        for part in self._data_set(context_id, command):
            content += part
            if len(content) > _OTHER_DATA_BYTES:
                raise ProtocolError("an endless data set", AbortReason.NOT_SPECIFIED)
        request = self._request(context_id, command)
        return self._services[command.field](request, bytes(content))

    def _request(self, context_id: int, command: Command) -> StoreRequest:
        context = self._agreement.contexts[context_id]
        abstract, transfer = context.abstract_syntax, context.transfer_syntax[0]
        return StoreRequest(command, str(abstract), str(transfer), context_id)

    def _command(self, fragment: Fragment) -> Command:
        """Read a command set from its first fragment on."""
        context_id, encoded = fragment.context_id, bytearray()
        if context_id not in self._agreement.contexts:
            raise _unexpected("a message in a presentation context that was not accepted")
        deadline = self._progress_deadline()  # once: fragments may be empty
        while True:
            if not fragment.is_command or fragment.context_id != context_id:
                raise _unexpected("a data set without a command")
            encoded += fragment.value
            if len(encoded) > COMMAND_BYTES:
                raise ProtocolError("an endless command set", AbortReason.INVALID_PARAMETER)
            if fragment.is_last:
                return decode_command(bytes(encoded))
            fragment = self._fragment_of_message(deadline)

    def _data_set(self, context_id: int, command: Command) -> Iterator[memoryview]:
        """Yield what comes of a request's data set, each part until the next is asked for."""
        deadline, since = self._progress_deadline(), 0
        is_last = not command.has_data_set
        while not is_last:
            fragment = self._fragment_of_message(deadline)
            if fragment.is_command or fragment.context_id != context_id:
                raise _unexpected("another message within a data set")
            since += len(fragment.value)
            self._activity.received(len(fragment.value))
            if since >= PROGRESS_BYTES:
                deadline, since = self._progress_deadline(), 0
            is_last = fragment.is_last
            yield fragment.value

    def _within_limit(self, parts: Iterable[memoryview]) -> Iterator[memoryview]:
        size = 0
        for part in parts:
            size += len(part)
            if size > self._maximum_object_bytes:
                raise OutOfResourcesError("the object is larger than receive.maximum_object_bytes")
            yield part

    def _discard(self, parts: Iterable[memoryview], maximum_bytes: int) -> None:
        size = 0
        for part in parts:
            size += len(part)
            if size > maximum_bytes:
                raise ProtocolError("an endless data set", AbortReason.NOT_SPECIFIED)

    def _fragment_of_message(self, deadline: float) -> Fragment:
        fragment = self._next_fragment(deadline)
        if fragment is None:
            raise _unexpected("a release request within a message")
        if not fragment.value:
            self._empty_fragments += 1
            if self._empty_fragments > _EMPTY_FRAGMENTS:
                raise ProtocolError("a message of empty fragments", AbortReason.INVALID_PARAMETER)
        return fragment

    def _next_fragment(self, deadline: float) -> Fragment | None:
        """Return the next fragment; None if the peer asks to release the association."""
        while (fragment := next(self._coming, None)) is None:
            self._activity.waits_for_peer(True)
            if self._may_tell:
                self._tell_while_silent(deadline)
            kind, content = self._stream.next_pdu(deadline)
            self._activity.waits_for_peer(False)
            if kind is PduType.ABORT:
                raise PeerAbortedError(f"A-ABORT, source {content[2]}, reason {content[3]}")
            if kind is PduType.RELEASE_RQ:
                return None
            self._coming = fragments(content)
        return fragment

    def _idle_deadline(self) -> float:
        # Studies wait for the associations that carried them: echoes alone do not keep one open.
        if not self._has_carried_objects:
            self._silent_since = time.monotonic()
        return self._silent_since + self._deadlines.idle

    def _progress_deadline(self) -> float:
        return time.monotonic() + self._deadlines.progress

    def _tell(self, error: AssociationEndedError) -> None:
        if isinstance(error, ProtocolError):
            reason = error.abort_reason
        else:
            reason = AbortReason.NOT_SPECIFIED
        try:
            self._stream.send(abort(reason))
        except AssociationEndedError:
            return  # it is over either way; the first cause is the one to log


def _unexpected(what: str) -> ProtocolError:
    return ProtocolError(what, AbortReason.UNEXPECTED_PARAMETER)
