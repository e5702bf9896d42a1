"""The archive behind a destination, by whichever protocol it speaks; and what is wanted of it."""

from dicom_node.fetch.dicom_archive import DicomArchive
from dicom_node.fetch.dicomweb_archive import DicomwebArchive
from dicom_node.fetch.retrospective_run import Archive
from dicom_node.settings.destinations import ArchiveDestination, DicomDestination
from dicom_node.settings.settings import Settings
from mammoclip_core.images.header.image_kind import MAMMOGRAM_CLASSES, TOMOSYNTHESIS_CLASSES


def archive_of(settings: Settings, destination: ArchiveDestination) -> Archive:
    """Return the archive to search and retrieve from: C-FIND and C-GET, or QIDO-RS and WADO-RS."""
    if isinstance(destination, DicomDestination):
        return DicomArchive(
            destination, calling_ae_title=settings.receive.ae_title, tls=settings.tls
        )
    return DicomwebArchive(destination, tls=settings.tls)


def classes_analysed(settings: Settings) -> frozenset[str]:
    """Return the SOP Classes that are worth retrieving."""
    if settings.model.tomosynthesis == "refuse":
        return MAMMOGRAM_CLASSES
    return MAMMOGRAM_CLASSES | TOMOSYNTHESIS_CLASSES
