"""What a destination answered for one result object, and the seam that all senders satisfy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

_DUPLICATE: Final = 0x0111
_OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)
_TRY_LATER: Final = frozenset({0x0110, 0x0213})
"""Processing failure and resource limitation (PS3.7 annex C): archives mend these."""


class Outcome(StrEnum):
    """What became of one object at one destination."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    POSTPONED = "postponed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectToSend:
    """One result object on disk.

    Attributes
    ----------
    key : whatever the caller tells objects apart by
    """

    key: int
    file: Path
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the destination said of one object.

    Attributes
    ----------
    status : words for people, with the destination's own code
    """

    key: int
    outcome: Outcome
    status: str


def outcome_of_failure(status: int) -> Outcome:
    """Tell what a failure status means for one object: already there counts as delivered.

    Parameters
    ----------
    status : C-STORE status, or Failure Reason (0008,1197) of a STOW-RS answer
        They are the same codes (PS3.4 B.2.3, PS3.7 annex C, PS3.18 I.2.2).
    """
    if status == _DUPLICATE:
        return Outcome.DELIVERED
    later = status in _OUT_OF_RESOURCES or status in _TRY_LATER
    return Outcome.POSTPONED if later else Outcome.REFUSED


class Sender(Protocol):
    """One kind of destination."""

    def send(self, objects: Sequence[ObjectToSend]) -> Iterator[Answer]:
        """Send the objects in order and yield an answer for each as it comes.

        Raises
        ------
        DestinationDownError
            The destination cannot be reached, or stopped answering; objects without an answer
            were not taken.
        """
