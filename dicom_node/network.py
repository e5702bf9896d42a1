"""Makes DICOM application entities and opens associations with destinations."""

from collections.abc import Iterable
from typing import Any, Final

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_context

from dicom_node.errors import DestinationDownError, SettingsError
from dicom_node.settings.destinations import DicomDestination
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.tls import ClientContext, client_context

MAXIMUM_PDU_BYTES: Final = 131_072
UNCOMPRESSED: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""Every object can be sent in these; every archive must accept Implicit (PS3.5 10.1)."""


# Source and diagnostic of A-ASSOCIATE-RJ (PS3.8 9.3.4)
_CALLED_TITLE_UNKNOWN: Final = (1, 7)
_CALLING_TITLE_UNKNOWN: Final = (1, 3)
_TOO_BUSY: Final = frozenset({(3, 1), (3, 2)})


def application_entity(ae_title: str) -> AE:
    """Make an application entity that writes no log of its own."""
    # The library's own log handlers cost a third of the throughput and quote data sets.
    _config.LOG_HANDLER_LEVEL = "none"
    entity = AE(ae_title=ae_title)
    entity.maximum_pdu_size = MAXIMUM_PDU_BYTES
    return entity


def associate(
    destination: DicomDestination,
    calling_ae_title: str,
    contexts: Iterable[tuple[str, str]],
    *,
    tls: TlsSettings = NO_CERTIFICATES,
) -> Any:
    """Open an association, with a presentation context for each SOP Class and syntax.

    Parameters
    ----------
    tls : certificates of [tls], used if the destination is called over TLS

    Raises
    ------
    DestinationDownError
        It cannot be reached, or it rejected the association.
    """
    entity = application_entity(destination.calling_ae_title or calling_ae_title)
    entity.connection_timeout = destination.timeout_seconds
    entity.acse_timeout = destination.timeout_seconds
    entity.dimse_timeout = destination.timeout_seconds
    entity.network_timeout = destination.timeout_seconds
    # One syntax a context: of several in one the acceptor would choose, and hide the others. All
    # result SOP Classes in every syntax stay far below the 128 that are possible (PS3.8 9.3.2.2).
    requested = [build_context(*pair) for pair in sorted(set(contexts))]
    secured = _context_for(destination, tls)
    name = destination.tls_server_name or destination.host
    association = entity.associate(
        destination.host,
        destination.port,
        contexts=requested,
        ae_title=destination.ae_title,
        max_pdu=MAXIMUM_PDU_BYTES,
        tls_args=None if secured is None else (secured, name),
    )
    # With no context accepted the library aborts what the archive had agreed to: each object
    # is then answered by itself, and nobody tries for days.
    if association.is_established or association.rejected_contexts:
        return association
    where = f"{destination.name} at {destination.host}:{destination.port}"
    where += f" (AE title {destination.ae_title})"
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
