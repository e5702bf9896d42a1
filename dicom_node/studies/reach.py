"""The spools whose files a process can read and write: its own, and mounted ones of other nodes."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from dicom_node.errors import OutOfResourcesError
from dicom_node.settings.store import StoreSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.object_store import ObjectStore
from dicom_node.spool.spool_identity import identity_of_folder
from dicom_node.spool.stored_spool import (
    FetchedFiles,
    SeenSpool,
    SpoolFiles,
    StoredSpool,
    image_name,
)
from dicom_node.studies.ledger.reached import Unreached
from dicom_node.studies.ledger.spools import known_spools
from dicom_node.studies.ledger.tables import Instance


class UnreachedSpoolError(OutOfResourcesError):
    """Files lie in a spool that is not reached from here, or not any more."""

    reason = "unreached-spool"


class Reach:
    """Finds the files of rows in the spools that this process reaches.

    Parameters
    ----------
    own : that of the settings
    others : folders of other nodes' spools as they are mounted here
    store : through which spools are reached that are not mounted, if it is on
    """

    def __init__(
        self, own: Spool, others: Sequence[Path] = (), store: StoreSettings | None = None
    ) -> None:
        self._own = own
        self._folders = [own.root, *others]
        self._store = store if store is not None and store.is_on else None
        self._spools: dict[int, SpoolFiles] = {}
        self._opened: dict[Path, Spool] = {own.root: own}
        self._stored: dict[str, StoredSpool] = {}
        self._is_told_apart = False

    def look(self, session: Session) -> Unreached:
        """Look which spools are reached now; return what is not."""
        identities = known_spools(session)
        here = {identity_of_folder(folder): folder for folder in self._folders[::-1]}
        spools: dict[int, SpoolFiles] = {}
        by_store = set()
        for spool_id, identity in identities.items():
            folder, stored = here.get(identity), self._stored_spool(identity)
            if folder is not None:
                spool = self._opened.setdefault(folder, self._opened.get(folder) or Spool(folder))
                spools[spool_id] = SeenSpool(spool, stored)
            elif stored is not None:
                spools[spool_id] = stored
                by_store.add(spool_id)
        self._spools, self._is_told_apart = spools, bool(identities)
        return Unreached(
            spools=frozenset(identities.keys() - spools.keys()), by_store=frozenset(by_store)
        )

    def _stored_spool(self, identity: str) -> StoredSpool | None:
        if self._store is None:
            return None
        if identity not in self._stored:
            fetched = FetchedFiles(self._own.root / "fetched", self._store.cache_bytes)
            store = ObjectStore(self._store, identity)
            self._stored[identity] = StoredSpool(identity, store, fetched)
        return self._stored[identity]

    def spool(self, spool_id: int) -> SpoolFiles:
        """Return a spool by its number.

        Raises
        ------
        UnreachedSpoolError
            It was not reached when it was last looked for.
        """
        # While no node has named its spool there is one, as in an earlier release.
        spool = self._spools.get(spool_id) if self._is_told_apart else SeenSpool(self._own, None)
        if spool is None:
            raise UnreachedSpoolError(
                f"the files of spool {spool_id} are not reached from here: mount it and name it "
                "in other_spools"
            )
        return spool

    def image(self, row: Instance) -> Path:
        """Return the file of a received object.

        Raises
        ------
        UnreachedSpoolError
            The spool was not reached when it was last looked for.
        ValueError
            The place lies outside of it.
        FileNotFoundError
            The store does not have it.
        """
        return self.spool(row.spool_id).image(row.id, row.place)

    def forget(self, row: Instance) -> bool:
        """Drop the fetched copy of a received object; False if its file is none."""
        return self.spool(row.spool_id).forget(image_name(row.id))
