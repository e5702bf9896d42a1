"""Whether two objects of one SOP Instance UID are the same image, and which one counts."""

from dataclasses import dataclass
from enum import StrEnum


class Sameness(StrEnum):
    """What a further object of a known SOP Instance UID is."""

    REPEATED = "repeated"
    CORRECTED = "corrected"
    KEPT_UNREADABLE = "kept-unreadable"
    NEW_UNREADABLE = "new-unreadable"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How a new object compares with the kept one of the same SOP Instance UID.

    Attributes
    ----------
    changed : keywords of attributes that differ; no values
    detail : words for what else there is to say
    """

    verdict: Sameness
    changed: tuple[str, ...] = ()
    detail: str = ""
