"""How urgent a study is: what its images say, and in which order work is done."""

from enum import IntEnum
from typing import Final, Protocol


class Priority(IntEnum):
    """Higher ones are done first."""

    OFF_PEAK = 0
    ROUTINE = 1
    STAT = 2

    @property
    def word(self) -> str:
        """Return the word of commands and tables: stat, routine or off-peak."""
        return self.name.lower().replace("_", "-")


OF_WORDS: Final = {one.word: one for one in Priority}

_OF_REQUESTS: Final = {
    "STAT": Priority.STAT,
    "HIGH": Priority.STAT,
    "ROUTINE": Priority.ROUTINE,
    "MEDIUM": Priority.ROUTINE,
    "LOW": Priority.OFF_PEAK,
}
"""PS3.3 C.4.11, Requested Procedure Priority (0040,1003)."""


class HasAttributes(Protocol):
    """A data set, as far as it is read here."""

    def get(self, key: str, default: object = None, /) -> object:
        """Return the value of an attribute."""


def requested_priority_of(dataset: HasAttributes) -> int | None:
    """Return the Priority that a data set states, None if it states none that is defined.

    It stands in the data set itself, or in its Request Attributes Sequence (0040,0275).
    """
    items = dataset.get("RequestAttributesSequence") or ()
    for one in (dataset, *(items if isinstance(items, list) else list(items))):  # type: ignore[call-overload]
        found = _OF_REQUESTS.get(str(one.get("RequestedProcedurePriority") or "").strip().upper())
        if found is not None:
            return int(found)
    return None
