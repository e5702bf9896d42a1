"""Asks archives for the images that the node has committed to keep for their senders."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from dicom_node.errors import DestinationDownError, NotOfferedError
from dicom_node.send.asking import ObjectToFind
from dicom_node.send.destinations import asker_for
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import ArchiveDestination
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.proof.sender_requests import (
    PromisedImage,
    note_archived,
    promised_images,
)

log = structlog.get_logger("dicom_node.proof")

_PORTION: Final = 100
"""Images for which an archive is asked over one association."""

_PAUSE_SECONDS: Final = 600.0
"""Between two rounds through all images that no archive was seen to hold."""


class ImageSearch:
    """Looks for promised images at the archives that hold images (``holds_images``).

    Only where the retention would remove them: nobody else has any use of the answer.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._archives = [one for one in settings.archives if one.holds_images]
        self._settings = settings
        self._database = database
        self._clock = clock
        self._after = 0
        self._pause_until = 0.0
        self._silent: set[str] = set()

    @property
    def is_wanted(self) -> bool:
        """Whether the settings name an archive to ask, and have anything removed."""
        return bool(self._archives) and self._settings.retention.is_on

    def tick(self) -> int:
        """Ask for a portion, unless a round has just ended; return how many images were found."""
        if self._clock() < self._pause_until:
            return 0
        with self._database.reading() as session:
            images = promised_images(session, after=self._after, limit=_PORTION)
        if len(images) < _PORTION:
            self._after, self._pause_until = 0, self._clock() + _PAUSE_SECONDS
        else:
            self._after = images[-1].id
        found: set[int] = set()
        for archive in self._archives:
            left = [one for one in images if one.id not in found]
            if left:
                found |= self._found_at(archive, left)
        return len(found)

    def _found_at(self, archive: ArchiveDestination, images: Sequence[PromisedImage]) -> set[int]:
        asker = asker_for(
            archive, calling_ae_title=self._settings.receive.ae_title, tls=self._settings.tls
        )
        objects = [
            ObjectToFind(
                key=one.id,
                sop_class_uid=one.sop_class_uid,
                sop_instance_uid=one.sop_instance_uid,
                series_instance_uid=one.series_instance_uid,
                study_instance_uid=one.study_instance_uid,
            )
            for one in images
        ]
        found: set[int] = set()
        try:
            found.update(answer.key for answer in asker.ask(objects) if answer.is_held)
        except (DestinationDownError, NotOfferedError) as error:
            if archive.name not in self._silent:
                self._silent.add(archive.name)
                log.warning("images_not_asked", destination=archive.name, reason=str(error))
        else:
            self._silent.discard(archive.name)
        if found:
            with self._database.writing() as session:
                note_archived(session, found, at=database_time(session))
            log.info("images_found", destination=archive.name, count=len(found))
        return found
