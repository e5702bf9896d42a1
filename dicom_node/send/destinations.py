"""Chooses what sends to each kind of destination, and what asks it."""

from dicom_node.send.asking import Asker
from dicom_node.send.c_find import CFindAsker
from dicom_node.send.c_store import CStoreSender
from dicom_node.send.outcome import Sender
from dicom_node.send.qido_rs import QidoAsker
from dicom_node.send.stow_rs import StowSender
from dicom_node.settings.destinations import DicomDestination, DicomwebDestination
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings


def sender_for(
    destination: DicomDestination | DicomwebDestination,
    *,
    calling_ae_title: str,
    tls: TlsSettings = NO_CERTIFICATES,
) -> Sender:
    """Return the sender of a configured destination."""
    if isinstance(destination, DicomDestination):
        return CStoreSender(destination, calling_ae_title=calling_ae_title, tls=tls)
    return StowSender(destination, tls=tls)


def asker_for(
    destination: DicomDestination | DicomwebDestination,
    *,
    calling_ae_title: str,
    tls: TlsSettings = NO_CERTIFICATES,
) -> Asker:
    """Return what asks a configured destination for the objects that it holds."""
    if isinstance(destination, DicomDestination):
        return CFindAsker(destination, calling_ae_title=calling_ae_title, tls=tls)
    return QidoAsker(destination, tls=tls)
