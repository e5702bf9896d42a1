"""How urgent a study is: what its images say, and in which order work is done."""

from collections.abc import Collection, Iterable
from enum import IntEnum
from typing import Final, Protocol

from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID


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

_CREATOR: Final = UID("2.25.339311816875631188540667406221508392956")
"""Who defines the private information in file meta information that the node writes."""


_PRIOR: Final = "prior"


def priority_of_sender(
    sender: str, *, stat: Collection[str], off_peak: Collection[str], otherwise: int | None
) -> int | None:
    """Let the settings for a sender decide before what its images state.

    Parameters
    ----------
    stat, off_peak : AE titles whose studies are such, whatever their images state
    otherwise : what an image states
    """
    if sender in stat:
        return int(Priority.STAT)
    return int(Priority.OFF_PEAK) if sender in off_peak else otherwise


def priority_of_study(stated: Iterable[int | None]) -> Priority:
    """Return the priority of a study by those of its objects, in the order of their arrival."""
    found: int | None = None
    for one in stated:
        if found is None:
            found = int(Priority.ROUTINE) if one is None else one
        elif one is not None:
            found = max(found, one)
    return Priority.ROUTINE if found is None else Priority(found)


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


def write_priority(
    meta: FileMetaDataset, priority: Priority | None, *, is_prior: bool = False
) -> None:
    """Write into file meta information how urgent the study is (PS3.10 7.1, (0002,0102)).

    Parameters
    ----------
    is_prior : whether it is a former examination, fetched for comparison
    """
    words = ([] if priority is None else [priority.word]) + [_PRIOR] * is_prior
    if words:
        meta.PrivateInformationCreatorUID = _CREATOR
        meta.PrivateInformation = " ".join(words).encode()


def written_priority_of(meta: FileMetaDataset) -> Priority | None:
    """Return what `write_priority` has written; None if it has not."""
    return next((OF_WORDS[word] for word in _words_of(meta) if word in OF_WORDS), None)


def is_written_as_prior(meta: FileMetaDataset) -> bool:
    """Return whether `write_priority` has said that it is a former examination."""
    return _PRIOR in _words_of(meta)


def _words_of(meta: FileMetaDataset) -> list[str]:
    if meta.get("PrivateInformationCreatorUID") != _CREATOR:
        return []
    words = bytes(meta.get("PrivateInformation") or b"").decode("ascii", errors="replace")
    return words.strip(" \0").split()
