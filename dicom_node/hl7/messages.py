"""HL7 v2 messages: taken to pieces within bounds, and acknowledged (HL7 2.5.1 chapter 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

ACCEPTED, FAILED, REJECTED = "AA", "AE", "AR"
"""Acknowledgement codes (table 0008): taken; try again; never send this again."""

_MOST_SEGMENTS: Final = 2000
_SEPARATORS: Final = 4
_CHARSETS: Final[Mapping[str, str]] = {
    "": "utf-8",
    "ASCII": "ascii",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/7": "iso8859-7",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
}
"""Python's names of the character sets of MSH-18 (table 0211)."""


class MessageError(Exception):
    """It is no message that could be read; sent again, it would not be either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as segments of fields.

    Attributes
    ----------
    segments : name and fields of each, still escaped; field 0 is the name
    separators : of fields, components, repetitions, escapes and subcomponents
    """

    segments: tuple[tuple[str, ...], ...]
    separators: str

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Take a message to pieces.

        Raises
        ------
        MessageError
        """
        if not content.startswith(b"MSH") or len(content) < 3 + 1 + _SEPARATORS:
            raise MessageError("it does not begin with a segment MSH")
        try:
            separators = content[3:8].decode("ascii")
        except UnicodeDecodeError:
            raise MessageError("its separators are no ASCII") from None
        if len(set(separators)) != len(separators) or any(
            char.isalnum() or not char.isprintable() for char in separators
        ):
            raise MessageError("its separators are not five different signs")
        lines = content.replace(b"\r\n", b"\r").replace(b"\n", b"\r").split(b"\r")
        if len(lines) > _MOST_SEGMENTS:
            raise MessageError(f"it has more than {_MOST_SEGMENTS} segments")
        header = lines[0].split(separators[0].encode())
        named = header[17].decode("ascii", errors="replace") if len(header) > 17 else ""
        charset = _CHARSETS.get(named.partition(separators[2])[0].strip().upper())
        if charset is None:
            raise MessageError(f"its character set (MSH-18) {named[:32]!r} is not known")
        try:
            texts = [line.decode(charset) for line in lines if line]
        except UnicodeDecodeError:
            raise MessageError(f"its text is not in the character set of MSH-18 ({charset})") from (
                None
            )
        # MSH-1 is the separator itself: fields are then numbered as the standard does.
        segments = [tuple(text.split(separators[0])) for text in texts]
        segments[0] = ("MSH", separators[0], *segments[0][1:])
        return cls(segments=tuple(segments), separators=separators)

    def field(self, segment: str, number: int) -> str:
        """Return a field of the first segment of a name, still escaped; empty if there is none."""
        found = next((one for one in self.segments if one[0] == segment), ())
        return found[number] if len(found) > number else ""

    def repetitions(self, segment: str, number: int) -> list[list[str]]:
        """Return the components of each repetition of a field, without escapes.

        Of a component that has subcomponents it is the first one.
        """
        field = self.field(segment, number)
        component, repetition, inner = (self.separators[one] for one in (1, 2, 4))
        return [
            [self.unescaped(one.partition(inner)[0]) for one in part.split(component)]
            for part in (field.split(repetition) if field else [])
        ]

    def component(self, segment: str, number: int, component: int) -> str:
        """Return a component of the first repetition of a field, numbered from 1."""
        parts = next(iter(self.repetitions(segment, number)), [])
        return parts[component - 1].strip() if len(parts) >= component else ""

    def unescaped(self, text: str) -> str:
        """Return a text without escape sequences (2.7.1)."""
        escape = self.separators[3]
        meant = dict(zip("FSRET", (*self.separators[:3], escape, self.separators[4]), strict=True))
        parts = text.split(escape)
        made = parts[0]
        rest = iter(range(1, len(parts)))
        for at in rest:
            if at + 1 < len(parts) and parts[at] in meant:
                made += meant[parts[at]] + parts[at + 1]
                next(rest, None)
            else:
                made += escape + parts[at]
        return made

    @property
    def kind(self) -> tuple[str, str]:
        """Return message code and trigger event (MSH-9)."""
        return self.component("MSH", 9, 1), self.component("MSH", 9, 2)

    @property
    def control_id(self) -> str:
        """Return the Message Control ID (MSH-10)."""
        return self.field("MSH", 10)[:199]


def acknowledgement(message: Message | None, code: str, text: str = "") -> bytes:
    """Return the acknowledgement of a message (2.9); of what is no message, None."""
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")

    def of(number: int) -> str:
        return "" if message is None else _plain(message.field("MSH", number), message)

    trigger = "" if message is None else _plain(message.kind[1], message)
    control = "" if message is None else _plain(message.control_id, message)
    header = ["MSH", "^~\\&", of(5), of(6), of(3), of(4), now, "", f"ACK^{trigger}^ACK"]
    header += [f"A{now[:14]}{control[:5]}", of(11) or "P", of(12) or "2.5.1"]
    header += ["", "", "", "", "", "UNICODE UTF-8"]
    said = ["MSA", code, control] + ([_plain(text, None)[:200]] if text else [])
    return "".join("|".join(line) + "\r" for line in (header, said)).encode()


def _plain(text: str, message: Message | None) -> str:
    """Return a text with no sign that would end a field of ours."""
    kept = text if message is None or message.separators == "|^~\\&" else text.replace("|", " ")
    forbidden = (
        {"\r", "\n", "|"} if message is None or message.separators[0] != "|" else {"\r", "\n"}
    )
    return "".join(" " if char in forbidden or not char.isprintable() else char for char in kept)
