"""The C-STORE listener: writes each object to disk as it comes, flushes it, and then answers."""

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, Final, Protocol

import structlog
from pynetdicom import ALL_TRANSFER_SYNTAXES, build_context
from pynetdicom.presentation import PresentationContext

from dicom_node.errors import AddressError, MistypedRequestError
from dicom_node.facts.patient_at_beginning import of_patient
from dicom_node.facts.priority import Priority
from dicom_node.facts.storage_classes import ACCEPTED_CLASSES
from dicom_node.network import STORAGE_COMMITMENT, UNCOMPRESSED
from dicom_node.receive.access import REJECTED_PERMANENT, SERVICE_USER, Caller, rejection_of
from dicom_node.receive.announcing.announcing import Announcing
from dicom_node.receive.arriving_object import STATUS_OF, ArrivingObject, file_beginning
from dicom_node.receive.coming_object import ComingObject
from dicom_node.receive.committing import Committing
from dicom_node.receive.moved_objects import MovedObjects
from dicom_node.receive.reporters import Reporter
from dicom_node.receive.reporting import Reporting
from dicom_node.receive.upper_layer.acceptor import Acceptor, rejected
from dicom_node.receive.upper_layer.association import Association, Deadlines, StoreRequest
from dicom_node.receive.upper_layer.making_room import Activity
from dicom_node.receive.upper_layer.negotiation import DRAINED, Rejection, Request, agree
from dicom_node.receive.upper_layer.pdus import AssociationEndedError, ProtocolError, abort
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.draining import is_draining
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.expected_moves import ExpectedMove
from dicom_node.spool.messages.reports import Reports
from dicom_node.spool.open_associations import Limits, OpenAssociations, Place
from dicom_node.tls import RenewingContext

log = structlog.get_logger("dicom_node.listener")

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110

_VERIFICATION: Final = "1.2.840.10008.1.1"
_BACKLOG: Final = 512


class Listener:
    """Answers C-ECHO, C-STORE and reports over connections that cannot cost more than their share.

    A connection waits in the lobby until its request is complete; an association then has one
    thread and one buffer, whatever is sent over it.

    Parameters
    ----------
    settings : ReceiveSettings
    spool : Spool
        Reception needs nothing else, neither ledger nor broker.
    on_kept : callable
        Called after an object is safe on disk, to wake the registrar; must not block.
    tls : certificates of [tls], needed with ``receive.tls``
    reporters : archives that may report on storage commitment
        They may call even if they may send nothing.
    """

    def __init__(
        self,
        settings: ReceiveSettings,
        spool: Spool,
        *,
        on_kept: Callable[[], object] = lambda: None,
        tls: TlsSettings = NO_CERTIFICATES,
        reporters: Iterable[Reporter] = (),
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._on_kept = on_kept
        self._tls = tls
        self._open = open_associations(settings, spool)
        self._reporting = Reporting(reporters, settings, Reports(spool.root))
        self._contexts = [build_context(one, ALL_TRANSFER_SYNTAXES) for one in ACCEPTED_CLASSES]
        self._committing = Committing(settings, spool.root)
        self._announcing = Announcing(settings, spool.root)
        self._moved = MovedObjects(spool.root, {settings.ae_title, *settings.called_ae_titles})
        self._acceptor: Acceptor | None = None

    def start(self, listening: socket.socket | None = None) -> Acceptor:
        """Listen in background threads; return when the port is open.

        Parameters
        ----------
        listening : socket
            Bound and listening, for example shared with other processes. Default: a new one.

        Raises
        ------
        AddressError
            The address is not one of this machine, or the port is in use or privileged.
        SettingsError
            A certificate of [tls] is missing or wrong.
        """
        self._acceptor = Acceptor(
            listening or listening_socket(self._settings),
            self._open,
            judge=self._judge,
            serve=self._serve,
            request_seconds=self._settings.request_timeout_seconds,
            tls=self._context(),
        )
        self._acceptor.start()
        return self._acceptor

    def _context(self) -> RenewingContext | None:
        settings = self._settings
        if not settings.tls:
            return None
        return RenewingContext(self._tls, asks_for_certificate=settings.require_client_certificate)

    def stop(self) -> None:
        """Close the port and abort open associations; senders will try again."""
        if self._acceptor is not None:
            self._acceptor.stop()
            self._acceptor = None

    def open_tokens(self) -> frozenset[str]:
        """Return the tokens of the open associations."""
        return self._open.tokens()

    def _judge(self, line: socket.socket, address: str, request: Request) -> Rejection | None:
        caller = _caller(line, address, request)
        found = rejection_of(caller, self._settings)
        if self._reporting.may_report(caller):
            return None
        if found is None:
            return DRAINED if is_draining(self._spool.root) else None
        return Rejection(REJECTED_PERMANENT, SERVICE_USER, found.diagnostic, found.reason)

    def _serve(
        self,
        line: socket.socket,
        address: str,
        request: Request,
        place: Place,
        activity: Activity,
    ) -> None:
        settings = self._settings
        caller = _caller(line, address, request)
        line.settimeout(settings.pdu_timeout_seconds)
        try:
            agreement = agree(request, self._contexts_for(caller, request))
        except ProtocolError as error:
            with suppress(OSError):  # the peer has gone: its fault is what is told
                line.send(abort(error.abort_reason))
            raise
        if isinstance(agreement, Rejection):
            farewell = rejected(agreement, address, request)
            with suppress(OSError):
                line.send(farewell)
            return

        def store(asked: StoreRequest, parts: Iterable[memoryview]) -> int:
            coming = ComingObject(place, asked.transfer_syntax)
            status = self._store(asked, coming.watched(parts), address, request, place)
            coming.end()
            return status

        waiting = self._committing.waiting_on(request, place.token)
        association = Association(
            line,
            agreement,
            store=store,
            on_echo=lambda: log.info("echo_answered", calling_ae_title=request.calling_ae_title),
            services={
                **self._reporting.services_for(caller),
                **self._committing.services_for(request, waiting),
                **self._announcing.services_for(request),
            },
            maximum_object_bytes=settings.maximum_object_bytes,
            deadlines=Deadlines(
                idle=settings.idle_timeout_seconds,
                pdu=settings.pdu_timeout_seconds,
                progress=settings.progress_timeout_seconds,
            ),
            activity=activity,
            telling=waiting,
        )
        try:
            association.serve()
        finally:
            if waiting is not None:
                waiting.end()

    def _contexts_for(self, caller: Caller, request: Request) -> list[PresentationContext]:
        contexts = [build_context(_VERIFICATION)]
        asking: list[PresentationContext] = []
        if rejection_of(caller, self._settings) is None:
            contexts += [*self._contexts, *self._announcing.contexts_for(request)]
            asking = self._committing.contexts_for(request)
        if self._reporting.may_report(caller):
            both_ways = next(iter(asking), build_context(STORAGE_COMMITMENT, list(UNCOMPRESSED)))
            # It is the archive that calls: the peer has the role of the SCP (PS3.4 J.3.3).
            both_ways.scu_role, both_ways.scp_role = bool(asking), True
            asking = [both_ways]
        return contexts + asking

    def _store(
        self,
        asked: StoreRequest,
        parts: Iterable[memoryview],
        address: str,
        request: Request,
        place: Place,
    ) -> int:
        """Answer one request: 0x0000 only once the object and its folder are flushed to disk."""
        sop_class = asked.command.sop_class_uid.decode("ascii", errors="replace")
        calling = request.calling_ae_title
        try:
            wanted = self._wanted(asked, request)
            beginning = file_beginning(_arriving(asked, sop_class, address, request, wanted))
            coming: Iterable[bytes | memoryview] = parts
            if wanted is not None and wanted.patient_id:
                coming = of_patient(wanted.patient_id, asked.transfer_syntax, parts)
            # Studies wait for the next object from the moment on at which this one is whole.
            self._spool.keep(
                chain(beginning, coming), lambda: self._spool.receipts.new(place.token)
            )
        except tuple(STATUS_OF) as error:
            status = STATUS_OF[type(error)]
            log.warning(
                "instance_refused",
                reason=error.reason,
                detail=str(error),
                status=f"0x{status:04X}",
                address=address,
                calling_ae_title=calling,
                sop_class=sop_class[:64],
            )
            return status
        except (AssociationEndedError, MemoryError):
            raise
        except Exception as error:  # a bug costs this object only
            log.exception("storing_failed", reason=type(error).__name__, calling_ae_title=calling)
            return PROCESSING_FAILURE
        self._open.remember(address)
        self._on_kept()
        return SUCCESS

    def _wanted(self, asked: StoreRequest, request: Request) -> ExpectedMove | None:
        """Return the request of the node that brings an object; see `MovedObjects`."""
        return self._moved.request_for(
            _instance_of(asked),
            originator=asked.command.move_originator.decode("ascii", errors="replace"),
            archive=request.calling_ae_title,
        )


def _instance_of(asked: StoreRequest) -> str:
    return asked.command.sop_instance_uid.decode("ascii", errors="replace").strip()


def _caller(line: socket.socket, address: str, request: Request) -> Caller:
    return Caller(
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        address=address,
        certificate=_certificate_of(line),
    )


def _certificate_of(line: socket.socket) -> Mapping[str, Any] | None:
    """Return a peer's certificate; empty if its names cannot be read, so that it is nobody's."""
    try:
        return line.getpeercert() if isinstance(line, ssl.SSLSocket) else None
    except ValueError:  # names of bytes that are no text
        return {}


def open_associations(settings: ReceiveSettings, spool: Spool) -> OpenAssociations:
    """Return the open associations of all processes on a spool, with the settings' limits."""
    total = settings.maximum_associations
    limits = Limits(
        total=total,
        each_address=settings.maximum_associations_per_address,
        kept_free=min(settings.places_for_known_senders, total // 2),
    )
    return OpenAssociations(spool.associations, limits)


class Address(Protocol):
    """Where a service listens."""

    @property
    def host(self) -> str:
        """Return the IP address."""

    @property
    def port(self) -> int:
        """Return the TCP port."""


def listening_socket(settings: Address, *, section: str = "receive") -> socket.socket:
    """Open the port.

    Parameters
    ----------
    section : of the settings, for the message

    Raises
    ------
    AddressError
        The address is not one of this machine, or the port is in use or privileged.
    """
    address = (settings.host, settings.port)
    try:
        family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AddressError(
            f"cannot listen on {address[0]} port {address[1]}: {error.strerror or error}. "
            f"Check {section}.host and {section}.port"
        ) from error


def _arriving(
    asked: StoreRequest, sop_class: str, address: str, request: Request, wanted: ExpectedMove | None
) -> ArrivingObject:
    """Return what a request says of the object that is coming.

    Raises
    ------
    MistypedRequestError
    """
    if not asked.command.has_data_set:
        raise MistypedRequestError("the request has no data set")
    if sop_class != asked.abstract_syntax:
        raise MistypedRequestError("the SOP Class is not that of the presentation context")
    priority = None if wanted is None else wanted.priority
    return ArrivingObject(
        sop_class_uid=sop_class,
        sop_instance_uid=_instance_of(asked),
        transfer_syntax_uid=asked.transfer_syntax,
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        address=address,
        priority=None if priority is None else Priority(priority),
        is_prior=wanted is not None and wanted.is_prior,
    )
