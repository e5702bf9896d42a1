"""Tells all processes which study an object is of while it comes."""

import time
from collections.abc import Iterable, Iterator

from dicom_node.facts.study_in_stream import STUDY_INSTANCE_UID, StreamedUid
from dicom_node.spool.open_associations import Place


class ComingObject:
    """One object of an association, noted at the place of the association.

    Parameters
    ----------
    transfer_syntax : UID under which the object comes
    """

    def __init__(self, place: Place, transfer_syntax: str) -> None:
        self._place = place
        self._study = StreamedUid(STUDY_INSTANCE_UID, transfer_syntax)
        self._whole_at_ns: int | None = None

    @property
    def study_instance_uid(self) -> str | None:
        """Its study; None while it is not known, or if the object names none."""
        return self._study.value

    @property
    def is_settled(self) -> bool:
        """Whether nothing that is still to come will change its study."""
        return self._study.is_settled

    def watched(self, parts: Iterable[memoryview]) -> Iterator[memoryview]:
        """Pass the parts of the object on, and note its study as soon as it is known."""
        began_ns = time.time_ns()
        is_noted = False
        for part in parts:
            if not (is_noted and self._study.is_settled):
                self._study.feed(part)
                if self._study.is_settled or not is_noted:
                    self._note(is_coming=True, since_ns=began_ns)
                    is_noted = True
            yield part
        self._whole_at_ns = time.time_ns()

    def end(self) -> None:
        """Note that the object is in the spool, or was refused."""
        self._note(is_coming=False, since_ns=self._whole_at_ns or time.time_ns())

    def _note(self, *, is_coming: bool, since_ns: int) -> None:
        self._place.note(
            study_instance_uid=self._study.value, is_coming=is_coming, since_ns=since_ns
        )
