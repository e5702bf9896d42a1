"""The answer of a destination for one result object, and the interface of all senders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from dicom_node.facts.priority import Priority

_DUPLICATE: Final = 0x0111
_OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)
_TRY_LATER: Final = frozenset({0x0110, 0x0124, 0x0213})
"""Processing failure, not authorized and resource limitation (PS3.7 annex C), which may pass.

Who is authorized is a setting of the archive, which a person puts right.
"""


class Outcome(StrEnum):
    """The outcome of sending one object to one destination."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    POSTPONED = "postponed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectToSend:
    """One result object on disk.

    Attributes
    ----------
    key : the caller's number of this object
    priority : of its study; None if the caller does not say
    is_to_be_uncompressed : whether its pixels are sent decompressed, however they are kept
    """

    key: int
    file: Path
    sop_class_uid: str
    sop_instance_uid: str
    priority: Priority | None = None
    is_to_be_uncompressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a destination for one object.

    Attributes
    ----------
    status : text for people, with the destination's status code
    """

    key: int
    outcome: Outcome
    status: str


def outcome_of_failure(status: int) -> Outcome:
    """Return the outcome for a failure status; one already there counts as accepted.

    Parameters
    ----------
    status : C-STORE status, or Failure Reason (0008,1197) of a STOW-RS answer
        Both use the same codes (PS3.4 B.2.3, PS3.7 annex C, PS3.18 I.2.2).
    """
    if status == _DUPLICATE:
        return Outcome.ACCEPTED
    later = status in _OUT_OF_RESOURCES or status in _TRY_LATER
    return Outcome.POSTPONED if later else Outcome.REFUSED


def unread(item: ObjectToSend, status: str, error: Exception) -> Answer:
    """Return the answer for an object whose file cannot be read or sent.

    One that is gone, or is no object, is refused; what a disk does not give now, or gives to
    another account only, it gives again once somebody has put that right.
    """
    is_for_now = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
    outcome = Outcome.POSTPONED if is_for_now else Outcome.REFUSED
    return Answer(key=item.key, outcome=outcome, status=f"{status}: {type(error).__name__}")


class Sender(Protocol):
    """One kind of destination."""

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send the objects in order and yield the answer for each as it arrives.

        Raises
        ------
        DestinationDownError
            The destination cannot be reached, or stopped answering; objects without an answer
            count as not delivered.
        """

    def complaints(self, item: ObjectToSend) -> Iterator[str]:
        """Yield why an object cannot be sent as the settings would have it; nobody is asked."""
