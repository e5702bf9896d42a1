"""What a destination says of objects that it has accepted, and the interface of all who ask it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectToFind:
    """One result object that a destination has accepted.

    Attributes
    ----------
    key : the caller's number of this object
    """

    key: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a destination shows an object; it has answered that it does, or that it does not.

    Attributes
    ----------
    is_elsewhere : whether it shows it, and in another study, where nobody looks for it
        Then it is not held.
    """

    key: int
    is_held: bool
    is_elsewhere: bool = False


class Asker(Protocol):
    """One way to ask a destination which objects it holds.

    Attributes
    ----------
    name : the service in the standard's words
    """

    name: str

    def ask(self, objects: Sequence[ObjectToFind]) -> Iterator[Found]:
        """Ask for the objects in order and yield what is said of each as it arrives.

        Raises
        ------
        DestinationDownError
            The destination cannot be reached, or gave no answer from which anything follows.
        NotOfferedError
            It does not offer this service.
        """
