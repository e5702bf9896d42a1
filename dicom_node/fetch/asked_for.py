"""Judges each object that an archive sends: only what was asked for is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from dicom_node.errors import RefusedError
from dicom_node.facts.file_meta import FileMeta, Readable
from dicom_node.facts.patient_at_beginning import (
    BEGINNING_BYTES,
    OF_ANOTHER_PATIENT,
    may_be_of,
)
from dicom_node.facts.priority import Priority
from dicom_node.fetch.found_objects import FoundObject, FoundStudy
from dicom_node.receive.arriving_object import STATUS_OF

_NOT_ASKED_FOR: Final = 0xA900


class Taking(Protocol):
    """What takes objects, as the way into the spool does."""

    @property
    def maximum_bytes(self) -> int:
        """Largest size of an object."""

    is_prior: bool

    @property
    def priority(self) -> Priority | None:
        """How urgent the objects are; None for what they or the settings state."""

    def take_described(
        self, meta: FileMeta, stream: Readable, study_instance_uid: str | None = None
    ) -> object:
        """Take an object whose file meta information was read already.

        Raises
        ------
        RefusedError
            Nothing remains of it.
        """


@dataclass(slots=True)
class Retrieved:
    """What came of one study.

    Attributes
    ----------
    kept : SOP Instance UIDs that are safe in the spool
    refused : why objects were not kept, each once
    """

    kept: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)


class AskedFor:
    """What was asked of an archive about one study, and what has come of it.

    Parameters
    ----------
    classes : SOP Classes that are kept

    Attributes
    ----------
    refusals : how many objects were refused so far
    """

    def __init__(
        self,
        study: FoundStudy,
        objects: Sequence[FoundObject],
        classes: frozenset[str],
        intake: Taking,
    ) -> None:
        self._study = study
        self._asked = {one.sop_instance_uid for one in objects}
        self._classes = classes
        self._intake = intake
        self.retrieved = Retrieved()
        self.refusals = 0

    def take(self, meta: FileMeta, stream: Readable) -> int:
        """Keep an object, or note why not; returns its status, 0x0000 once it is safe on disk."""
        if meta.sop_instance_uid not in self._asked or meta.sop_class_uid not in self._classes:
            return self._refused("the archive sent an object that was not asked for")
        if meta.sop_instance_uid in self.retrieved.kept:
            # A second copy could say something else, and a hundred would fill the disk.
            return self._refused("the archive sent an object more than once")
        coming = stream.read(BEGINNING_BYTES)
        beginning = meta.beginning + coming
        patient, is_whole = self._study.patient_id, len(coming) < BEGINNING_BYTES
        if not may_be_of(patient, beginning, meta.transfer_syntax_uid, is_whole=is_whole):
            return self._refused(OF_ANOTHER_PATIENT)
        whole = FileMeta(
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            beginning=beginning,
        )
        try:
            self._intake.take_described(whole, stream, self._study.study_instance_uid)
        except RefusedError as error:
            self._refused(str(error))
            return STATUS_OF[type(error)]
        self.retrieved.kept.add(meta.sop_instance_uid)
        return 0x0000

    def _refused(self, reason: str) -> int:
        self.refusals += 1
        if reason not in self.retrieved.refused:
            self.retrieved.refused.append(reason)
        return _NOT_ASKED_FOR
