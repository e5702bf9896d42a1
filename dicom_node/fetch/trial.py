"""Retrieves a few studies of a list and keeps nothing, to say how long the rest will take."""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from dicom_node.errors import OutOfResourcesError
from dicom_node.facts.file_meta import FileMeta, Readable
from dicom_node.facts.priority import Priority
from dicom_node.fetch.asked_for import Retrieved, Taking
from dicom_node.fetch.found_objects import FoundObject, FoundStudy
from dicom_node.receive.arriving_object import (
    arriving_from,
    file_beginning,
    require_acceptable,
)
from dicom_node.spool.files.disk_trouble import disk_trouble

ASSUMED_BYTES_PER_SECOND: Final = 10_000_000
"""Speed of an archive and its line where it was not measured."""

_MOST_STUDIES: Final = 8
_LONGEST_SECONDS: Final = 60.0
_PIECE_BYTES: Final = 262_144


class Retrieving(Protocol):
    """What a study is retrieved from."""

    def retrieve(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: Taking,
    ) -> Retrieved:
        """Retrieve objects."""


class Trial:
    """Some studies all over a list, retrieved as a run would, into files that vanish.

    Parameters
    ----------
    folder : on the disk of the spool, since the disk's speed counts
    maximum_bytes : size of an object at most
    lines : of the list
    """

    def __init__(self, folder: Path, *, maximum_bytes: int, lines: int) -> None:
        self._intake = _Vanishing(folder, maximum_bytes)
        self._stride = max(1, lines // _MOST_STUDIES)
        self._next = 0
        self._seconds = 0.0
        self._said_bytes = 0
        self._seconds_an_object: list[float] = []
        self.studies = 0

    def measure(
        self,
        archive: Retrieving,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        *,
        position: int,
    ) -> None:
        """Retrieve a study if it is its turn.

        Parameters
        ----------
        position : of its line among all

        Raises
        ------
        DestinationDownError, NotOfferedError
        OutOfResourcesError
            The disk is full.
        """
        if position < self._next or self._seconds > _LONGEST_SECONDS:
            return
        self._next = position + self._stride
        began = time.perf_counter()
        try:
            kept = archive.retrieve(study, objects, classes, self._intake).kept
        finally:
            took = time.perf_counter() - began
            self._seconds += took
        self._said_bytes += sum(o.size_bytes for o in objects if o.sop_instance_uid in kept)
        if kept:
            self._seconds_an_object.append(took / len(kept))
        self.studies += 1

    def bytes_for(self, said_bytes: int) -> int:
        """Estimate the size of objects as they come, perhaps compressed."""
        if not self._said_bytes:
            return said_bytes
        return round(said_bytes * self._intake.taken_bytes / self._said_bytes)

    def seconds_of_studies(self, objects: float, said_bytes: float) -> list[float]:
        """Estimate how long a study takes to come and to be safe on disk, by each one measured.

        Parameters
        ----------
        objects, said_bytes : of a study of usual size
        """
        if not self._seconds_an_object:
            return [said_bytes / ASSUMED_BYTES_PER_SECOND]
        return [objects * one for one in self._seconds_an_object]


class _Vanishing:
    """Takes objects as the spool does, into files without a name."""

    def __init__(self, folder: Path, maximum_bytes: int) -> None:
        self._folder = folder
        self.maximum_bytes = maximum_bytes
        self.priority: Priority | None = None
        self.is_prior = False
        self.taken_bytes = 0

    def take_described(
        self, meta: FileMeta, stream: Readable, study_instance_uid: str | None = None
    ) -> None:
        """Write an object to the disk and forget it.

        Raises
        ------
        UnacceptedClassError, UnacceptedSyntaxError, InvalidInstanceError
        OutOfResourcesError
            The disk is full, or the object is too large.
        """
        del study_instance_uid  # nothing is kept that could be of another
        require_acceptable(meta)
        beginning = file_beginning(arriving_from(meta, "RUN", "RUN"))
        with disk_trouble(), tempfile.TemporaryFile(dir=self._folder) as file:
            parts = [*beginning, meta.beginning]
            self.taken_bytes += _written(file, parts, stream, self.maximum_bytes)


def _written(file: IO[bytes], beginning: Sequence[bytes], stream: Readable, most: int) -> int:
    size = 0
    for part in beginning:
        size += file.write(part)
    while part := stream.read(_PIECE_BYTES):
        size += file.write(part)
        if size > most:
            raise OutOfResourcesError("the object is larger than receive.maximum_object_bytes")
    file.flush()
    os.fsync(file.fileno())
    return size
