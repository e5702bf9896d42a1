"""Makes DICOM application entities and opens associations with destinations."""

import socket
from collections.abc import Callable, Iterable, Sequence
from ssl import SSLContext
from typing import Any, Final

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_context, build_role
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from dicom_node.deadline import Deadline
from dicom_node.early_answer import send_and_listen
from dicom_node.errors import DestinationDownError, SettingsError
from dicom_node.name_lookup import look_up
from dicom_node.reactor_pause import pause_exactly
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.tls import ClientContext, client_context

MAXIMUM_PDU_BYTES: Final = 131_072
UNCOMPRESSED: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""Every object can be sent in these; every archive must accept Implicit (PS3.5 10.1)."""

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4 J.3)."""

STORAGE_COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP Instance (PS3.4 J.3.5)."""

_LONGEST_ANSWERS_BYTES: Final = 2**20
"""Most that an archive may send in one association; an answer to C-STORE has some 200 bytes."""

_SMALLEST_PDU_BYTES: Final = 1024
"""Each packet costs about a kilobyte of memory: of smaller ones an object would fill the machine.
Archives take 16,384 bytes or more."""

_REJECTED: Final = (1, 2)
"""Results of A-ASSOCIATE-RJ: for good, and for now (PS3.8 9.3.4)."""

# Source and diagnostic of A-ASSOCIATE-RJ (PS3.8 9.3.4)
_CALLED_TITLE_UNKNOWN: Final = (1, 7)
_CALLING_TITLE_UNKNOWN: Final = (1, 3)
_TOO_BUSY: Final = frozenset({(3, 1), (3, 2)})

_CUT: Final = (
    " accepted the association in an answer that is cut before it says {}. It is tried again; "
    "tell those who look after it."
)


def application_entity(ae_title: str) -> AE:
    """Make an application entity that writes no log of its own."""
    _set_up_library()
    entity = AE(ae_title=ae_title)
    entity.maximum_pdu_size = MAXIMUM_PDU_BYTES
    return entity


def _set_up_library() -> None:
    # The library's own log handlers cost a third of the throughput and quote data sets.
    _config.LOG_HANDLER_LEVEL = "none"
    # A file goes out as it is, piece by piece; else it would be decoded, encoded and held whole.
    _config.STORE_SEND_CHUNKED_DATASET = True


def associate(
    destination: DicomDestination,
    calling_ae_title: str,
    contexts: Iterable[tuple[str, str]],
    *,
    deadline: Deadline,
    tls: TlsSettings = NO_CERTIFICATES,
    handlers: Sequence[tuple[Any, Callable[..., Any]]] = (),
    served: Iterable[str] = (),
    longest_bytes: int = _LONGEST_ANSWERS_BYTES,
) -> Any:
    """Open an association, with a presentation context for each SOP Class and syntax.

    Parameters
    ----------
    deadline : held by the connection from now on
        Every later exchange, the release too, belongs within it.
    tls : certificates of [tls], used if the destination is called over TLS
    handlers : events of the library and what answers them
    served : SOP Classes of which this side is the SCP, by role selection (PS3.7 D.3.3.4)
    longest_bytes : most that the peer may send; then the connection ends

    Raises
    ------
    DestinationDownError
        It cannot be reached, it rejected the association, or its answer is cut.
    """
    try:
        addresses = look_up(destination.host, destination.timeout_seconds)
    except socket.gaierror as error:
        raise DestinationDownError(
            f"{destination.name}: {destination.host} was not found: {error.strerror}. "
            "Check host under [[destinations]], and DNS."
        ) from error
    entity = _Requestor(destination, calling_ae_title, deadline, longest_bytes)
    # One syntax a context: of several in one the acceptor would choose, and hide the others. All
    # result SOP Classes in every syntax stay far below the 128 that are possible (PS3.8 9.3.2.2).
    requested = [build_context(*pair) for pair in sorted(set(contexts))]
    secured = _context_for(destination, tls)
    name = destination.tls_server_name or destination.host
    with deadline.within(destination.longest_seconds()):
        association = entity.associate(
            _preferred(addresses),
            destination.port,
            contexts=requested,
            ae_title=destination.ae_title,
            ext_neg=[build_role(one, scp_role=True) for one in served],
            max_pdu=MAXIMUM_PDU_BYTES,
            tls_args=None if secured is None else (secured, name),
            evt_handlers=list(handlers),
        )
    hear_rejection(association)
    # With no context accepted the library aborts what the archive had agreed to: each object
    # is then answered by itself, and nobody tries for days.
    where = f"{destination.name} at {destination.host}:{destination.port}"
    where += f" (AE title {destination.ae_title})"
    if association.is_established:
        _require_room(association, where)
    elif association.rejected_contexts:
        _require_answered(association, where)
    if association.is_established or association.rejected_contexts:
        return association
    if deadline.passed:
        raise DestinationDownError(f"{where}: {destination.words_for_lateness}")
    if association.is_rejected:
        raise DestinationDownError(
            f"{where} rejected the association: "
            + _rejection(association.acceptor.primitive, str(entity.ae_title))
        )
    if secured is not None and secured.failure is not None:
        raise DestinationDownError(
            f"{where}: TLS failed: {secured.failure}. Check tls and certificates under "
            "[[destinations]] and [tls], and what the archive trusts."
        )
    raise DestinationDownError(
        f"{where} does not answer. Check that it is running, and host and port under "
        "[[destinations]]."
    )


def hear_rejection(association: Association) -> None:
    """See to it that an association which the peer has rejected says so.

    The library looks whether the line is open before it looks what was answered: the rejection of
    a peer that hangs up at once may lie unread, and the association then seems to have broken off.
    """
    unread: Any = association.dul.peek_next_pdu()
    if isinstance(unread, A_ASSOCIATE) and unread.result in _REJECTED:
        association.acceptor.primitive = unread
        association.is_rejected = True


def _preferred(addresses: Sequence[str]) -> str:
    """Return the first address of IPv4, else the first, as the library chooses from a name."""
    return next((one for one in addresses if ":" not in one), addresses[0])


def _require_room(association: Association, where: str) -> None:
    """Give up an archive that takes packets too small to send anything in (PS3.8 D.1)."""
    largest = association.acceptor.maximum_length
    if largest is None:
        association.abort()
        raise DestinationDownError(where + _CUT.format("how long a message may be"))
    # 0 is no limit.
    if 0 < largest < _SMALLEST_PDU_BYTES:
        association.abort()
        raise DestinationDownError(
            f"{where} takes no more than {largest} bytes at a time. Raise the maximum PDU "
            f"length at the archive, to 16384 for example."
        )


def _require_answered(association: Association, where: str) -> None:
    """Give up an archive that accepts an association and is silent on what may pass over it.

    The library takes presentation contexts without an answer for rejected ones, and objects would
    be refused for good; each is to be answered (PS3.8 9.3.3.2), so the answer is cut.
    """
    answer: Any = association.acceptor.primitive
    answered = {one.context_id for one in answer.presentation_context_definition_results_list}
    if not {one.context_id for one in association.requestor.requested_contexts} <= answered:
        raise DestinationDownError(where + _CUT.format("which objects it takes"))


class _Requestor(AE):
    """The entity that calls a destination, with connections that do not wait for ever."""

    def __init__(
        self,
        destination: DicomDestination,
        calling_ae_title: str,
        deadline: Deadline,
        longest_bytes: int,
    ) -> None:
        _set_up_library()
        super().__init__(ae_title=destination.calling_ae_title or calling_ae_title)
        self.maximum_pdu_size = MAXIMUM_PDU_BYTES
        self.connection_timeout = destination.timeout_seconds
        self.acse_timeout = destination.timeout_seconds
        self.dimse_timeout = destination.timeout_seconds
        self.network_timeout = destination.timeout_seconds
        self._deadline = deadline
        self._longest_bytes = longest_bytes

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[SSLContext, str] | None,
    ) -> AssociationSocket:
        connection = _BoundedSocket(assoc, address=address)
        connection.tls_args = tls_args
        connection.longest_bytes = self._longest_bytes
        assert connection.socket is not None
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deadline.guard(connection.socket, close=connection.close_for_good)
        pause_exactly(assoc)
        return connection


class _BoundedSocket(AssociationSocket):
    """The connection of an association of which no read or write waits for ever.

    The library reads as many bytes as the peer claims to send, and waits for them without end.
    """

    longest_bytes = _LONGEST_ANSWERS_BYTES
    _received = 0

    def __init__(self, assoc: Association, *, address: AddressInformation) -> None:
        super().__init__(assoc, address=address)
        self._ahead = bytearray()

    @property
    def peer_has_spoken(self) -> bool:
        """Whether something of the peer lay here, unread, before the last write ended."""
        return bool(self._ahead)

    @property
    def ready(self) -> bool:
        """Whether there is something to read."""
        return bool(self._ahead) or super().ready

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect; the library takes the timeout away afterwards."""
        super().connect(primitive)
        if self.socket is not None:
            self.socket.settimeout(self.assoc.network_timeout)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes.

        Raises
        ------
        OSError
            The peer was silent for too long, or sends more than any archive does.
        """
        try:
            return self._read(nr_bytes)
        except OSError:
            # The library takes the connection for closed by the peer, and would leave it open until
            # it is collected: a peer that sends without end would go on.
            if self.socket is not None:
                self.socket.close()
            raise

    def _read(self, nr_bytes: int) -> bytearray:
        self._received += nr_bytes
        if self._received > self.longest_bytes:
            raise OSError("the peer sends more than an answer holds")
        # An archive that sends its answer in two parts waits with the second until we acknowledge
        # the first (Nagle's algorithm). The system would do so after 40 ms if not told each time.
        if self.socket is not None and hasattr(socket, "TCP_QUICKACK"):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        first = self._ahead[:nr_bytes]
        del self._ahead[:nr_bytes]
        return first + super().recv(nr_bytes - len(first))

    def send(self, bytestream: bytes) -> None:
        """Write a PDU; that the connection has ended, the library is told by an event."""
        try:
            # Without a socket the library has closed it.
            if self.socket is not None:
                send_and_listen(self.socket, bytestream, self._ahead)
                return
        except (OSError, ValueError):
            pass
        self.event_queue.put("Evt17")

    def close_for_good(self) -> None:
        """Close the connection if the library has ended its thread and left it open."""
        if self.socket is not None:
            self.socket.close()

    def _shutdown_socket(self) -> None:
        super()._shutdown_socket()
        # The library leaves it open where the peer or the deadline was first.
        self.close_for_good()


def _rejection(answer: Any, calling_ae_title: str) -> str:
    """Return in words why an association was rejected, and what to do (PS3.8 table 9-21)."""
    cause = (answer.result_source, answer.diagnostic)
    if cause == _CALLED_TITLE_UNKNOWN:
        return "it is not called by this AE title. Correct ae_title under [[destinations]]."
    if cause == _CALLING_TITLE_UNKNOWN:
        return (
            f"it does not know the calling AE title {calling_ae_title}. Enter it at the archive, "
            "or set calling_ae_title under [[destinations]]."
        )
    if cause in _TOO_BUSY:
        return "it is too busy at present. It is tried again."
    return f"{answer.reason_str}. Check ae_title and calling_ae_title under [[destinations]]."


def _context_for(destination: DicomDestination, tls: TlsSettings) -> ClientContext | None:
    """Make the TLS context of a destination anew each time, so that renewed files count."""
    if not destination.tls:
        return None
    try:
        return client_context(tls.for_peer(destination))
    except SettingsError as error:
        raise DestinationDownError(f"{destination.name}: {error}") from error
