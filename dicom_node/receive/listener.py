"""The C-STORE listener: writes each object to disk, flushes it, and answers with a status."""

import ssl
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.association import ServiceUser
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # entered at import
    Verification,
)

from dicom_node.errors import (
    AddressError,
    NodeError,
    OutOfResourcesError,
)
from dicom_node.facts.storage_classes import ACCEPTED_CLASSES
from dicom_node.network import application_entity
from dicom_node.receive.access import REJECTED_PERMANENT, SERVICE_USER, Caller, rejection_of
from dicom_node.settings.receive import ReceiveSettings
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt, new_association_token
from dicom_node.tls import HANDSHAKE_SECONDS, RenewingContext, complete_handshake

log = structlog.get_logger("dicom_node.listener")

SUCCESS: Final = 0x0000

STATUS_OF: Final[dict[type[NodeError], int]] = {
    OutOfResourcesError: 0xA700,
}
"""C-STORE failure status for each reason to refuse (PS3.4 B.2.3, PS3.7 C.5)."""

_PREAMBLE: Final = b"\x00" * 128 + b"DICM"


class Listener:
    """Answers C-ECHO and C-STORE, and keeps a list of open associations.

    Parameters
    ----------
    settings : ReceiveSettings
    spool : Spool
        Reception needs nothing else, neither ledger nor broker.
    tls : certificates of [tls], needed with ``receive.tls``
    on_kept : callable
        Called after an object is safe on disk, to wake the registrar; must not block.
    """

    def __init__(
        self,
        settings: ReceiveSettings,
        spool: Spool,
        *,
        tls: TlsSettings = NO_CERTIFICATES,
        on_kept: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._tls = tls
        self._on_kept = on_kept
        self._tokens: dict[Any, str] = {}
        self._lock = threading.Lock()
        self._server: Any = None

    def start(self) -> None:
        """Listen in background threads; return when the port is open.

        Raises
        ------
        AddressError
            The address is not one of this machine, or the port is in use or privileged.
        SettingsError
            A certificate of [tls] is missing or wrong.
        """
        secured = self._context()
        address = (self._settings.host, self._settings.port)
        try:
            self._server = self._application_entity().start_server(
                address,
                block=False,
                ssl_context=secured,
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, self._handle_connection),
                    (evt.EVT_REQUESTED, self._handle_requested),
                    (evt.EVT_REJECTED, self._handle_rejected),
                    (evt.EVT_C_STORE, self._handle_c_store),
                    (evt.EVT_C_ECHO, self._handle_c_echo),
                ],
            )
        except OSError as error:
            raise AddressError(
                f"cannot listen on {address[0]} port {address[1]}: {error.strerror or error}. "
                "Check receive.host and receive.port"
            ) from error

    def stop(self) -> None:
        """Close the port and abort open associations; senders will try again."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def open_tokens(self) -> frozenset[str]:
        """Return the tokens of associations over which objects may still come."""
        with self._lock:
            self._tokens = {one: token for one, token in self._tokens.items() if one.is_alive()}
            return frozenset(self._tokens.values())

    def _context(self) -> Any:
        settings = self._settings
        if not settings.tls:
            return None
        return RenewingContext(self._tls, asks_for_certificate=settings.require_client_certificate)

    def _application_entity(self) -> AE:
        settings = self._settings
        entity = application_entity(settings.ae_title)
        entity.maximum_associations = settings.maximum_associations
        entity.network_timeout = settings.idle_timeout_seconds
        entity.dimse_timeout = settings.idle_timeout_seconds
        entity.acse_timeout = settings.idle_timeout_seconds
        entity.add_supported_context(Verification)
        for sop_class in ACCEPTED_CLASSES:
            entity.add_supported_context(sop_class, ALL_TRANSFER_SYNTAXES)
        return entity

    def _handle_connection(self, event: evt.Event) -> None:
        """Complete the TLS handshake, in the thread of this connection, before its first PDU."""
        connection = _socket_of(event.assoc)
        if not isinstance(connection, ssl.SSLSocket):
            return
        trouble = complete_handshake(connection, HANDSHAKE_SECONDS)
        if trouble is not None:
            log.warning(
                "connection_ended",
                address=event.assoc.requestor.address,
                reason="tls-handshake-failed",
                detail=trouble,
            )
            # The association finds it closed, and need not wait for a request.
            connection.close()
            event.assoc.acse_timeout = 0

    def _handle_requested(self, event: evt.Event) -> None:
        association = event.assoc
        request = _request_of(association.requestor)
        connection = _socket_of(association)
        is_secured = isinstance(connection, ssl.SSLSocket)
        caller = Caller(
            calling_ae_title=request.calling_ae_title or "",
            called_ae_title=request.called_ae_title or "",
            address=str(association.requestor.address),
            certificate=connection.getpeercert() if is_secured else None,
        )
        rejection = rejection_of(caller, self._settings)
        if rejection is not None:
            self._tell_rejection(association, rejection.reason)
            association.acse.send_reject(REJECTED_PERMANENT, SERVICE_USER, rejection.diagnostic)
            association.kill()
            return
        with self._lock:
            self._tokens[association] = new_association_token()

    def _handle_rejected(self, event: evt.Event) -> None:
        # By the library, which rejects nothing else.
        self._tell_rejection(event.assoc, "maximum-associations")

    def _tell_rejection(self, association: Any, reason: str) -> None:
        request = _request_of(association.requestor)
        log.warning(
            "association_rejected",
            address=association.requestor.address,
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            reason=reason,
        )

    def _handle_c_echo(self, event: evt.Event) -> int:
        log.info("echo_answered", calling_ae_title=event.assoc.requestor.ae_title)
        return SUCCESS

    def _handle_c_store(self, event: evt.Event) -> int:
        """Answer one request: 0x0000 only once the object and its folder are flushed to disk."""
        calling = event.assoc.requestor.ae_title
        try:
            self._keep(event, calling)
        except tuple(STATUS_OF) as error:
            status = STATUS_OF[type(error)]
            log.warning(
                "instance_refused",
                reason=error.reason,
                detail=str(error),
                status=f"0x{status:04X}",
                calling_ae_title=calling,
                sop_class=str(event.request.AffectedSOPClassUID),
            )
            return status
        except Exception as error:
            # The library answers 0xC211 without a log line, since its own log is off.
            log.exception("storing_failed", reason=type(error).__name__, calling_ae_title=calling)
            raise
        self._on_kept()
        return SUCCESS

    def _keep(self, event: evt.Event, calling_ae_title: str) -> None:
        request = event.request
        # A C-STORE request carries a data set; the library would not call this without one.
        assert isinstance(request, C_STORE)
        assert request.DataSet is not None
        content = request.DataSet.getbuffer()
        if content.nbytes > self._settings.maximum_object_bytes:
            raise OutOfResourcesError("the object is larger than receive.maximum_object_bytes")
        token = self._tokens[event.assoc]
        meta = _file_meta(event, calling_ae_title)
        self._spool.keep([_PREAMBLE, encode_file_meta(meta), content], Receipt.new(token))


def _file_meta(event: evt.Event, calling_ae_title: str) -> FileMetaDataset:
    meta: FileMetaDataset = event.file_meta
    meta.SendingApplicationEntityTitle = calling_ae_title
    meta.ReceivingApplicationEntityTitle = _request_of(event.assoc.requestor).called_ae_title
    meta.MediaStorageSOPClassUID = UID(str(meta.MediaStorageSOPClassUID))
    return meta


def _socket_of(association: Any) -> Any:
    """Return the socket of an association, or None once it is closed."""
    return association.dul.socket.socket


def _request_of(requestor: ServiceUser) -> A_ASSOCIATE:
    """Return the association request of a peer, which is set before any handler is called."""
    request = requestor.primitive
    assert request is not None
    return request
