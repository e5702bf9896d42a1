"""The spools whose files a process can read and write: its own, and mounted ones of other nodes."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.spool_identity import identity_of_folder
from dicom_node.studies.ledger.spools import known_spools


class UnreachedSpoolError(OutOfResourcesError):
    """Files lie in a spool that is not reached from here, or not any more."""

    reason = "unreached-spool"


class Reach:
    """Finds the files of rows in the spools that this process reaches.

    Parameters
    ----------
    own : that of the settings
    others : folders of other nodes' spools as they are mounted here
    """

    def __init__(self, own: Spool, others: Sequence[Path] = ()) -> None:
        self._own = own
        self._folders = [own.root, *others]
        self._spools: dict[int, Spool] = {}
        self._is_told_apart = False

    def look(self, session: Session) -> frozenset[int]:
        """Look which spools are reached now; return the numbers of those that are not."""
        identities = known_spools(session)
        here = {identity_of_folder(folder): folder for folder in self._folders[::-1]}
        spools: dict[int, Spool] = {}
        for spool_id, identity in identities.items():
            folder = here.get(identity)
            if folder == self._own.root:
                spools[spool_id] = self._own
            elif folder is not None:
                spools[spool_id] = self._spools.get(spool_id) or Spool(folder)
        self._spools, self._is_told_apart = spools, bool(identities)
        return frozenset(identities.keys() - spools.keys())

    def spool(self, spool_id: int) -> Spool:
        """Return a spool by its number.

        Raises
        ------
        UnreachedSpoolError
            It was not reached when it was last looked for.
        """
        # While no node has named its spool there is one, as in an earlier release.
        spool = self._spools.get(spool_id) if self._is_told_apart else self._own
        if spool is None:
            raise UnreachedSpoolError(
                f"the files of spool {spool_id} are not reached from here: mount it and name it "
                "in other_spools"
            )
        return spool

    def file(self, spool_id: int, place: str) -> Path:
        """Return the file at a place of a spool.

        Raises
        ------
        UnreachedSpoolError
            The spool was not reached when it was last looked for.
        ValueError
            The place lies outside of it.
        """
        return self.spool(spool_id).file(place)
