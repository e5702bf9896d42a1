"""Copies what a node's spool holds to the store, and deletes there what the spool does not hold.

The queue is the ledger: what a store that is away does not take waits there, and nothing fails.
"""

from functools import cached_property
from typing import Final

from dicom_node.settings.store import StoreSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.object_store import ObjectStore
from dicom_node.spool.spool_identity import spool_identity
from dicom_node.spool.stored_spool import image_name
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.storing import (
    Stored,
    analyses_to_delete_there,
    images_to_delete_there,
    images_to_store,
    note_deleted_there,
    note_stored,
    results_to_store,
)
from dicom_node.studies.ledger.tables import Instance, ResultObject
from dicom_node.studies.own_spool import own_spool

_PORTION: Final = 20


class Uploads:
    """One node's copying; may be killed and repeated at any point.

    Parameters
    ----------
    settings : of a store that is on
    """

    def __init__(self, spool: Spool, database: Database, settings: StoreSettings) -> None:
        self._spool = spool
        self._database = database
        self._settings = settings

    def step(self) -> int:
        """Copy and delete a portion; return how much was done.

        Raises
        ------
        StoreDownError
            The store does not answer; what it has taken is recorded.
        """
        with self._database.reading() as session:
            images = images_to_store(session, self._spool_id, limit=_PORTION)
            results = results_to_store(session, self._spool_id, limit=_PORTION)
        # What workers wait for comes first.
        for image in images:
            self._put(image, image_name(image.id))
        for result in results:
            self._put(result, result.place)
        return len(images) + len(results) + self.delete_removed()

    def delete_removed(self) -> int:
        """Delete a portion of what the spool does not hold any more; return how much."""
        with self._database.reading() as session:
            instances = images_to_delete_there(session, self._spool_id, limit=_PORTION)
            analyses = analyses_to_delete_there(session, self._spool_id, limit=_PORTION)
        for one in instances:
            self._store.delete(image_name(one))
        for one in analyses:
            self._store.delete_below(f"results/{one}")
        if instances or analyses:
            with self._database.writing() as session:
                note_deleted_there(session, instances=instances, analyses=analyses)
        return len(instances) + len(analyses)

    def _put(self, row: Instance | ResultObject, name: str) -> None:
        stored = Stored.COPY
        try:
            self._store.put(name, self._spool.file(row.place))
        except FileNotFoundError:
            # Moved or removed meanwhile, or lost: whoever needs it says so.
            self._spool.require_readable()
            stored = Stored.NOT
        with self._database.writing() as session:
            note_stored(session, row, stored)

    @cached_property
    def _store(self) -> ObjectStore:
        return ObjectStore(self._settings, spool_identity(self._spool))

    @cached_property
    def _spool_id(self) -> int:
        return own_spool(self._spool, self._database)
