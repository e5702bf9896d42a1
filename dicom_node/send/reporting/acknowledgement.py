"""Reads the acknowledgement of an HL7 message, and decides whether to send the message again."""

from dataclasses import dataclass
from typing import Final

from dicom_node.send.outcome import Outcome

_TAKEN: Final = frozenset({"AA", "CA"})
_WITHOUT_ERROR_CODE: Final = {
    "AE": Outcome.POSTPONED,
    "CE": Outcome.POSTPONED,
    "AR": Outcome.REFUSED,
    "CR": Outcome.REFUSED,
}
"""What follows from a code (HL7 table 0008) that no error code explains."""

_OF_THE_MESSAGE: Final = frozenset({"100", "101", "102", "103", "200", "201", "202", "203"})
"""Error codes (HL7 table 0357) of what the message is: the same one fails again."""

_PASSING: Final = frozenset({"204", "206", "207"})
"""Error codes of a patient or an order that the receiver does not know yet, of a record that is
locked, and of an error within the receiver."""

_LONGEST_CODE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What a receiver answered to one message (HL7 2.9).

    Attributes
    ----------
    code : ``AA``, ``AE`` and so on (MSA-1)
    control_id : of the message that it is about (MSA-2)
    errors : error codes (ERR-3, in former versions ERR-1 or MSA-6)
    """

    code: str
    control_id: str
    errors: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """Return what became of the message; None for a code that says nothing.

        Receivers give AE and AR each for what passes and for what does not, so that an error code
        comes before them.
        """
        if self.code in _TAKEN:
            return Outcome.ACCEPTED
        found = _WITHOUT_ERROR_CODE.get(self.code)
        if found is None:
            return None
        if set(self.errors) & _PASSING:
            return Outcome.POSTPONED
        return Outcome.REFUSED if set(self.errors) & _OF_THE_MESSAGE else found

    def in_words(self) -> str:
        """Return the codes: the receiver's own words could name the patient."""
        # Beside an acceptance an error code is a warning.
        errors = () if self.code in _TAKEN else self.errors
        stated = f", error {', '.join(errors)}" if errors else ""
        return f"acknowledged with {self.code}{stated}"


def read_acknowledgement(content: bytes) -> Acknowledgement | None:
    """Return the acknowledgement that a message holds; None if it holds none."""
    # Letters do not matter here: codes and control ID are ASCII in every character set that the
    # node sends, and Latin-1 reads all bytes.
    lines = content.decode("latin-1").replace("\n", "\r").split("\r")
    segments = [line for line in lines if line.strip()]
    if not segments or not segments[0].startswith("MSH") or len(segments[0]) < 5:
        return None
    separator, component = segments[0][3], segments[0][4]
    fields = [one.split(separator) for one in segments]
    found = next((one for one in fields if one[0] == "MSA" and len(one) > 2), None)
    if found is None:
        return None
    return Acknowledgement(
        code=found[1].strip()[:_LONGEST_CODE],
        control_id=found[2].strip(),
        errors=tuple(
            dict.fromkeys(
                code
                for one in fields
                if one[0] == "ERR" and len(one) > 3
                if (code := _code_of(one[3], component))
            )
        ),
    )


def _code_of(text: str, component: str) -> str:
    code = text.split(component, maxsplit=1)[0].strip()
    return code if code.isascii() and code.isalnum() and len(code) <= _LONGEST_CODE else ""
