"""Asks a destination whether it answers, without sending it any result."""

from typing import Final

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.send.dicomweb_session import BROKEN_EXCHANGE, dicomweb_session, words_for_failure
from dicom_node.send.reporting.mllp import connected
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import (
    AnyDestination,
    DicomDestination,
    DicomwebDestination,
    HttpDestination,
)
from dicom_node.settings.ways_out.reporting import FhirDestination, Hl7Destination

_VERIFICATION: Final = "1.2.840.10008.1.1"
_NOBODY_BEHIND: Final = frozenset({502, 503, 504})
"""HTTP statuses of a gateway behind which nobody answers."""


def probe(
    destination: AnyDestination,
    *,
    calling_ae_title: str,
    tls: TlsSettings = NO_CERTIFICATES,
) -> None:
    """Ask a destination whether it answers; what it answers does not matter.

    An archive may take results and refuse C-ECHO or searches: whether it takes them, the next
    delivery tells.

    Raises
    ------
    DestinationDownError
        It does not answer, or it rejects the association.
    """
    if isinstance(destination, DicomDestination):
        _echo(destination, destination.calling_ae_title or calling_ae_title, tls)
        return
    if isinstance(destination, Hl7Destination):
        with connected(destination, tls):
            return
    status = answered_status(destination, tls)
    if status in _NOBODY_BEHIND:
        raise DestinationDownError(
            f"{destination.name} answers with HTTP {status}: check what is behind its gateway"
        )


def longest_probe_seconds(destination: AnyDestination) -> float:
    """Return a time after which nobody is still asking a destination."""
    # Its name is looked up, then the association is made, used and released.
    return 3 * (destination.timeout_seconds + destination.longest_seconds())


def answered_status(destination: HttpDestination, tls: TlsSettings = NO_CERTIFICATES) -> int:
    """Ask for something of no consequence and return the HTTP status; nothing else is read.

    An archive is asked for one study by QIDO-RS, a FHIR server for its capabilities, and any other
    server for the head of what its address shows.

    Raises
    ------
    DestinationDownError
        There is no answer, or not in time.
    """
    method, url = _question_for(destination)
    try:
        with (
            Deadline() as deadline,
            dicomweb_session(destination, deadline, tls) as session,
            deadline.within(destination.longest_seconds()),
            session.request(method, url, allow_redirects=False, stream=True) as answer,
        ):
            pass
    except BROKEN_EXCHANGE as error:
        if deadline.passed:
            raise DestinationDownError(_late(destination)) from error
        raise DestinationDownError(
            f"{destination.name} does not answer: {words_for_failure(error)}"
        ) from error
    # An answer that is cut off within its head can read as if it were complete.
    if deadline.passed:
        raise DestinationDownError(_late(destination))
    return answer.status_code


def _question_for(destination: HttpDestination) -> tuple[str, str]:
    root = destination.url.rstrip("/")
    if isinstance(destination, DicomwebDestination):
        return "GET", f"{root}/studies?limit=1"
    if isinstance(destination, FhirDestination):
        return "GET", f"{root}/metadata"
    return "HEAD", destination.url


def _echo(destination: DicomDestination, calling_ae_title: str, tls: TlsSettings) -> None:
    with Deadline() as deadline:
        association = associate(
            destination,
            calling_ae_title,
            [(_VERIFICATION, syntax) for syntax in UNCOMPRESSED],
            deadline=deadline,
            tls=tls,
        )
        # Whoever accepts the association and not this SOP Class has answered too.
        if not association.is_established:
            return
        answered = True
        with deadline.within(destination.longest_seconds()):
            if association.accepted_contexts:
                answered = "Status" in association.send_c_echo()
            if association.is_established:
                association.release()
    if deadline.passed:
        raise DestinationDownError(_late(destination))
    if not answered:
        raise DestinationDownError(
            f"{destination.name} at {destination.host}:{destination.port} "
            f"(AE title {destination.ae_title}) accepts the association and does not answer C-ECHO"
        )


def _late(destination: AnyDestination) -> str:
    return f"{destination.name}: {destination.words_for_lateness}"
