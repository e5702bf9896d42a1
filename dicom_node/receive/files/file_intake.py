"""Takes DICOM files into the spool, by the promises and checks of the listener."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Final

from dicom_node.errors import MismatchedStudyError, OutOfResourcesError, UnreadableFileError
from dicom_node.facts.file_meta import FileMeta, Readable, read_file_meta
from dicom_node.facts.priority import Priority
from dicom_node.receive.arriving_object import (
    arriving_from,
    file_beginning,
    require_acceptable,
)
from dicom_node.receive.coming_object import ComingObject
from dicom_node.receive.listener import open_associations
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.draining import draining
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import NoPlaceError, Place
from dicom_node.spool.other_writers import clear_abandoned, require_account_of_the_node

_PURPOSE: Final = "taken"
_PIECE_BYTES: Final = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenObject:
    """An object that is safe in the spool.

    Attributes
    ----------
    study_instance_uid : as far as it was found while the object came; else empty
    size_bytes : of the data set
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    size_bytes: int


class FileIntake:
    """Writes files into the spool's ``incoming`` folder, where the registrar finds them.

    Parameters
    ----------
    place : by which settling sees that more of a study may come
    calling_ae_title : counts as the sender, for the settings that name senders
    address : IP address of whoever brings them; empty if nobody does
    priority : None: the settings for the sender, or the images, say how urgent they are
    is_prior : whether these are former examinations, fetched for comparison
    """

    def __init__(
        self,
        settings: ReceiveSettings,
        spool: Spool,
        place: Place,
        *,
        calling_ae_title: str,
        address: str = "",
        priority: Priority | None = None,
        is_prior: bool = False,
    ) -> None:
        self.is_prior = is_prior
        self._settings = settings
        self._spool = spool
        self._place = place
        self._calling_ae_title = calling_ae_title
        self._address = address
        self._priority = priority

    @property
    def maximum_bytes(self) -> int:
        """Largest size of an object."""
        return self._settings.maximum_object_bytes

    @property
    def priority(self) -> Priority | None:
        """How urgent its objects are; None for what they or the settings state."""
        return self._priority

    def take(self, stream: Readable, *, study_instance_uid: str | None = None) -> TakenObject:
        """Take one DICOM file; on return it and its folder are flushed to disk.

        Parameters
        ----------
        study_instance_uid : the study that it must be of; None: any

        Raises
        ------
        UnreadableFileError, UnacceptedClassError, UnacceptedSyntaxError, InvalidInstanceError
            It is no DICOM file, or none that a C-STORE could bring here.
        MismatchedStudyError
            It is of another study.
        OutOfResourcesError
            The disk is full, or the object is too large. Nothing remains of it.
        """
        return self.take_described(read_file_meta(stream), stream, study_instance_uid)

    def take_described(
        self, meta: FileMeta, stream: Readable, study_instance_uid: str | None = None
    ) -> TakenObject:
        """Take a file whose file meta information was read already; see `take`."""
        require_acceptable(meta)
        beginning = file_beginning(
            arriving_from(
                meta,
                self._calling_ae_title,
                self._settings.ae_title,
                self._priority,
                address=self._address,
                is_prior=self.is_prior,
            )
        )
        coming = ComingObject(self._place, meta.transfer_syntax_uid)
        bounded = _Bounded(self._settings.maximum_object_bytes)
        parts = coming.watched(bounded.parts(meta.beginning, stream))
        if study_instance_uid is not None:
            parts = _of_study(study_instance_uid, coming, parts)
        try:
            self._spool.keep(
                chain(beginning, parts),
                lambda: self._spool.receipts.new(self._place.token),
                purpose=_PURPOSE,
            )
        finally:
            coming.end()
        return TakenObject(
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            study_instance_uid=coming.study_instance_uid or "",
            size_bytes=bounded.size,
        )


def prepare_spool(spool: Spool) -> None:
    """See that this process may bring objects, and delete what a killed one has half written.

    Raises
    ------
    ForeignAccountError
        This process runs as another account than the node.
    OutOfResourcesError
        The disk cannot be written.
    """
    require_account_of_the_node(spool.root)
    clear_abandoned(spool.root, _PURPOSE)


@contextmanager
def file_intake(
    settings: ReceiveSettings,
    spool: Spool,
    *,
    origin: str,
    calling_ae_title: str,
    address: str = "",
    priority: Priority | None = None,
    is_prior: bool = False,
) -> Iterator[FileIntake]:
    """Open a way into the spool, beside the node or without it.

    Parameters
    ----------
    origin : word or address that tells this way from associations, without spaces

    Raises
    ------
    NoPlaceError
        As many associations as the settings allow are open, or the node takes nothing new.
    """
    if (drained := draining(spool.root)) is not None:
        raise NoPlaceError(drained.in_words())
    place = open_associations(settings, spool).take_place(origin)
    try:
        yield FileIntake(
            settings,
            spool,
            place,
            calling_ae_title=calling_ae_title,
            address=address,
            priority=priority,
            is_prior=is_prior,
        )
    finally:
        place.close()


def _of_study(
    study_instance_uid: str, coming: ComingObject, parts: Iterator[memoryview]
) -> Iterator[memoryview]:
    """Pass the parts of an object on until it is known to be of another study."""
    for part in parts:
        if coming.is_settled and coming.study_instance_uid != study_instance_uid:
            break
        yield part
    if coming.study_instance_uid != study_instance_uid:
        raise MismatchedStudyError("the object is not of the study that was announced")


class _Bounded:
    """Counts the bytes of a data set, and ends it where it is too large."""

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes
        self.size = 0

    def parts(self, beginning: bytes, stream: Readable) -> Iterator[memoryview]:
        part = beginning
        while part:
            self.size += len(part)
            if self.size > self._maximum_bytes:
                raise OutOfResourcesError("the object is larger than receive.maximum_object_bytes")
            yield memoryview(part)
            try:
                part = stream.read(_PIECE_BYTES)
            except OSError as error:  # not to be taken for trouble of the disk that is written to
                raise UnreadableFileError(f"it cannot be read: {error.strerror}") from error
