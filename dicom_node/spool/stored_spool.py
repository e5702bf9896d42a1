"""The spool of another host, whose files are in a store: fetched when they are needed, and kept.

What is fetched is compared with a digest by whoever reads it; a copy that is not right is dropped.
"""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from dicom_node.spool.content import Content, parts_of
from dicom_node.spool.files.private_files import make_private_folder
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import result_place
from dicom_node.spool.object_store import ObjectStore

_IN_USE_SECONDS: Final = 600.0
"""How long after its last use a fetched file is not removed, however full the cache is."""


class SpoolFiles(Protocol):
    """What workers do with the files of a spool, wherever it is."""

    @property
    def results_are(self) -> int:
        """Say where new results lie: 0 in the spool, 1 there until they are copied, 3 stored."""

    def image(self, instance_id: int, place: str) -> Path:
        """Return the file of a received object."""

    def file(self, place: str) -> Path:
        """Return the file of a result."""

    def holds(self, place: str) -> bool:
        """Return whether the file of a result is there."""

    def forget(self, name: str) -> bool:
        """Drop the fetched copy of a file; False if it is not one."""

    def keep_result(self, content: Content, analysis_id: int, version: int, name: str) -> str:
        """Write a result, and return its place."""

    def drop_results(self, analysis_id: int, version: int) -> None:
        """Delete what was written for an attempt that came to no end."""

    def require_readable(self) -> None:
        """Raise OutOfResourcesError if files cannot be read."""


def image_name(instance_id: int) -> str:
    """Return the name of a received object in the store, which stays wherever its file moves."""
    return f"instances/{instance_id}.dcm"


class FetchedFiles:
    """A folder with copies of files in stores, the latest used of them.

    Parameters
    ----------
    most_bytes : size beyond which those that were not used for longest are removed
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def fetch(self, store: ObjectStore, identity: str, name: str) -> Path:
        """Return the copy of a file, fetched unless it is here.

        Raises
        ------
        StoreDownError
        FileNotFoundError
            The store does not have it.
        """
        file = self._file(identity, name)
        with suppress(FileNotFoundError):
            os.utime(file)
            return file
        make_private_folder(self._folder)
        self._make_room()
        store.get(name, file)
        return file

    def drop(self, identity: str, name: str) -> None:
        """Remove the copy of a file."""
        self._file(identity, name).unlink(missing_ok=True)

    def _file(self, identity: str, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(f'{identity}/{name}'.encode()).hexdigest()}.dcm"

    def _make_room(self) -> None:
        kept = []
        for file in self._folder.iterdir():
            with suppress(FileNotFoundError):
                status = file.stat()
                kept.append((status.st_mtime, status.st_size, file))
        size = sum(size for _, size, _ in kept)
        for used_at, its_size, file in sorted(kept):
            if size <= self._most_bytes or used_at > time.time() - _IN_USE_SECONDS:
                return
            file.unlink(missing_ok=True)
            size -= its_size


class StoredSpool:
    """A spool of which only the store is reached.

    Parameters
    ----------
    identity : of the spool
    """

    def __init__(self, identity: str, store: ObjectStore, fetched: FetchedFiles) -> None:
        self._identity = identity
        self._store = store
        self._fetched = fetched

    @property
    def results_are(self) -> int:
        """Say where new results lie: in the store alone."""
        return 3

    def image(self, instance_id: int, place: str) -> Path:
        """Return the fetched file of a received object; raises FileNotFoundError if it is gone."""
        return self._fetched.fetch(self._store, self._identity, image_name(instance_id))

    def file(self, place: str) -> Path:
        """Return the fetched file of a result; raises FileNotFoundError if it is gone."""
        return self._fetched.fetch(self._store, self._identity, place)

    def holds(self, place: str) -> bool:
        """Return whether the store has a result."""
        return bool(place) and self._store.has(place)

    def forget(self, name: str) -> bool:
        """Drop the fetched copy of a file."""
        self._fetched.drop(self._identity, name)
        return True

    def keep_result(self, content: Content, analysis_id: int, version: int, name: str) -> str:
        """Write one result object to the store; return its place."""
        place = result_place(analysis_id, version, name)
        self._store.put(place, b"".join(parts_of(content)))
        return place

    def drop_results(self, analysis_id: int, version: int) -> None:
        """Delete what `keep_result` wrote; what a store in trouble keeps goes with the study."""
        folder = result_place(analysis_id, version, "").rpartition("/")[0]
        with suppress(Exception):
            self._store.delete_below(folder)

    def require_readable(self) -> None:
        """Ask the store for something; raises StoreDownError."""
        self._store.has("nothing")


class SeenSpool:
    """A spool whose folder is seen, and of which a store may hold what others have made.

    Parameters
    ----------
    stored : None without a store
    """

    def __init__(self, spool: Spool, stored: StoredSpool | None) -> None:
        self._spool = spool
        self._stored = stored

    @property
    def results_are(self) -> int:
        """Say where new results lie: its node copies them to the store if there is one."""
        return 0 if self._stored is None else 1

    def image(self, instance_id: int, place: str) -> Path:
        """Return the file of a received object."""
        return self._spool.file(place)

    def file(self, place: str) -> Path:
        """Return the file of a result, here or fetched."""
        if self._stored is None or self._is_here(place):
            return self._spool.file(place)
        return self._stored.file(place)

    def holds(self, place: str) -> bool:
        """Return whether the file of a result is here or in the store."""
        return self._is_here(place) or (self._stored is not None and self._stored.holds(place))

    def forget(self, name: str) -> bool:
        """Drop the fetched copy of a result; False if it is none."""
        return self._stored is not None and not self._is_here(name) and self._stored.forget(name)

    def keep_result(self, content: Content, analysis_id: int, version: int, name: str) -> str:
        """Write one result object here."""
        return self._spool.keep_result(content, analysis_id, version, name)

    def drop_results(self, analysis_id: int, version: int) -> None:
        """Delete what `keep_result` wrote."""
        self._spool.drop_results(analysis_id, version)

    def require_readable(self) -> None:
        """Raise OutOfResourcesError if the folder of registered objects cannot be read."""
        self._spool.require_readable()

    def _is_here(self, place: str) -> bool:
        return bool(place) and self._spool.file(place).is_file()
