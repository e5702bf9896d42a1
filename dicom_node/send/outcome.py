"""What a destination answered for one result object, and the seam that all senders satisfy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


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
