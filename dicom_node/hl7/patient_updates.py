"""What an ADT message says of whose studies these are (HL7 2.5.1 chapter 3)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from dicom_node.hl7.messages import Message, MessageError

UPDATES: Final = frozenset({"A08", "A31"})
"""Triggers by which what is known of a patient is changed."""

MERGES: Final = frozenset({"A18", "A30", "A34", "A36", "A39", "A40", "A43", "A47"})
"""Triggers by which a patient gets the ID of another, or a new one; MRG names the former."""

_NULL: Final = '""'
_LONGEST: Final = 64
_DATE_DIGITS: Final = 8
_SEXES: Final = frozenset({"F", "M", "O"})


@dataclass(frozen=True, slots=True)
class PatientId:
    """An ID, and the authority that has given it, which may be empty."""

    value: str
    authority: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientUpdate:
    """Whose studies are corrected, and to what.

    Attributes
    ----------
    former : IDs that the studies have now
    attributes : by DICOM keyword; what the message does not say is not among them
    """

    former: tuple[PatientId, ...]
    attributes: dict[str, str]


def update_in(message: Message, *, authorities: Collection[str] = ()) -> PatientUpdate | None:
    """Read what an ADT message changes; None if it changes nothing of a study.

    Parameters
    ----------
    authorities : whose IDs the images have; empty: of any

    Raises
    ------
    MessageError
        It is a message of another kind, or lacks the ID that it is about.
    """
    code, trigger = message.kind
    if code != "ADT":
        raise MessageError(f"messages of the kind {code[:16]!r} are not taken, only ADT")
    if trigger not in UPDATES | MERGES:
        return None
    ids = list(_ids(message.repetitions("PID", 3), authorities))
    if not ids:
        raise MessageError("it names no patient (PID-3) whose images these could be")
    former = ids
    if trigger in MERGES:
        former = list(_ids(message.repetitions("MRG", 1), authorities))
        if not former:
            raise MessageError("it does not say which ID is replaced (MRG-1)")
    attributes = {"PatientID": ids[0].value, **dict(_demographics(message))}
    return PatientUpdate(former=tuple(former), attributes=attributes)


def _ids(repetitions: Iterable[list[str]], authorities: Collection[str]) -> Iterable[PatientId]:
    for parts in repetitions:
        value = parts[0].strip()
        authority = parts[3].strip() if len(parts) > 3 else ""
        if value in {"", _NULL} or (authorities and authority not in authorities):
            continue
        if len(value) > _LONGEST or "\\" in value or not value.isprintable():
            raise MessageError("an ID is longer than 64 characters, or none that DICOM can hold")
        yield PatientId(value, authority)


def _demographics(message: Message) -> Iterable[tuple[str, str]]:
    name = message.repetitions("PID", 5)
    if name:
        parts = [part.replace("\\", " ").replace("=", " ").replace("^", " ") for part in name[0]]
        family, given, middle, suffix, prefix = [*parts, "", "", "", "", ""][:5]
        written = "^".join(part.strip() for part in (family, given, middle, prefix, suffix))
        written = "" if family.strip() == _NULL else written.rstrip("^")
        if len(written) > _LONGEST or not written.replace("^", " ").isprintable():
            raise MessageError("the name (PID-5) is longer than 64 characters, or no text")
        if written or family.strip() == _NULL:
            yield "PatientName", written
    for keyword, number in (("PatientBirthDate", 7), ("PatientSex", 8)):
        value = message.component("PID", number, 1)
        if value == _NULL:
            yield keyword, ""
        elif keyword == "PatientSex" and value.upper() in _SEXES:
            yield keyword, value.upper()
        elif keyword == "PatientBirthDate" and len(value) >= _DATE_DIGITS:
            date = value[:_DATE_DIGITS]
            if not (date.isascii() and date.isdigit()):
                raise MessageError("the date of birth (PID-7) is no date")
            yield keyword, date
