"""Chooses the sender for each kind of destination."""

from dicom_node.send.c_store import CStoreSender
from dicom_node.send.outcome import Sender
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
