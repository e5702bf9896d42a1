"""The archive behind a destination, by whichever protocol it speaks; and what is wanted of it."""

from dicom_node.fetch.dicom_archive import DicomArchive
from dicom_node.fetch.dicomweb_archive import DicomwebArchive
from dicom_node.fetch.held_by_the_node import held_now
from dicom_node.fetch.moving_archive import MovingArchive
from dicom_node.fetch.retrospective_run import Archive
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import ArchiveDestination, DicomDestination
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from mammoclip_core.images.header.image_kind import MAMMOGRAM_CLASSES, TOMOSYNTHESIS_CLASSES


def archive_of(
    settings: Settings,
    destination: ArchiveDestination,
    *,
    spool: Spool,
    database: Database,
) -> Archive:
    """Return the archive to search and retrieve from, as its block in the settings says.

    By C-FIND and C-GET or C-MOVE, or by QIDO-RS and WADO-RS.
    """
    if isinstance(destination, DicomDestination) and destination.retrieve == "c-move":
        return MovingArchive(
            destination,
            calling_ae_title=settings.receive.ae_title,
            move_ae_title=destination.move_ae_title or settings.receive.ae_title,
            root=spool.root,
            held=held_now(database, spool),
            tls=settings.tls,
        )
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
