"""Chooses the sender for each kind of destination."""

from dicom_node.send.c_store import CStoreSender
from dicom_node.send.outcome import Sender
from dicom_node.send.stow_rs import StowSender
from dicom_node.settings.destinations import DicomDestination, DicomwebDestination


def sender_for(
    destination: DicomDestination | DicomwebDestination, *, calling_ae_title: str
) -> Sender:
    """Return the sender of a configured destination."""
    if isinstance(destination, DicomDestination):
        return CStoreSender(destination, calling_ae_title=calling_ae_title)
    return StowSender(destination)
