"""Chooses what sends to each kind of destination, and what asks it."""

from dicom_node.send.asking import Asker
from dicom_node.send.c_find import CFindAsker
from dicom_node.send.c_store import CStoreSender
from dicom_node.send.outcome import Sender
from dicom_node.send.qido_rs import QidoAsker
from dicom_node.send.reporting.fhir import Fhir
from dicom_node.send.reporting.hl7 import Hl7
from dicom_node.send.reporting.message_sender import MessageSender
from dicom_node.send.reporting.webhook import Webhook
from dicom_node.send.stow_rs import StowSender
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import (
    AnyDestination,
    ArchiveDestination,
    DicomDestination,
    DicomwebDestination,
)
from dicom_node.settings.ways_out.reporting import FhirDestination, Hl7Destination


def sender_for(
    destination: AnyDestination,
    *,
    calling_ae_title: str,
    tls: TlsSettings = NO_CERTIFICATES,
) -> Sender:
    """Return the sender of a configured destination."""
    if isinstance(destination, DicomDestination):
        return CStoreSender(destination, calling_ae_title=calling_ae_title, tls=tls)
    if isinstance(destination, DicomwebDestination):
        return StowSender(destination, tls=tls)
    if isinstance(destination, Hl7Destination):
        return MessageSender(Hl7(destination, tls=tls))
    if isinstance(destination, FhirDestination):
        return MessageSender(Fhir(destination, tls=tls))
    return MessageSender(Webhook(destination, tls=tls))


def asker_for(
    destination: ArchiveDestination,
    *,
    calling_ae_title: str,
    tls: TlsSettings = NO_CERTIFICATES,
) -> Asker:
    """Return what asks a configured archive for the objects that it holds."""
    if isinstance(destination, DicomDestination):
        return CFindAsker(destination, calling_ae_title=calling_ae_title, tls=tls)
    return QidoAsker(destination, tls=tls)
