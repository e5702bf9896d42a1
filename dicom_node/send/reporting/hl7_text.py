"""The text of HL7 v2 messages: escapes, character sets, names, times and codes."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from dicom_node.errors import ObjectRefusedError
from dicom_node.send.reporting.report import Code
from dicom_node.settings.ways_out.reporting import CharacterSet

CODECS: Final[Mapping[CharacterSet, str]] = MappingProxyType(
    {
        "UNICODE UTF-8": "utf-8",
        "ASCII": "ascii",
        "8859/1": "iso8859-1",
        "8859/2": "iso8859-2",
        "8859/5": "iso8859-5",
        "8859/7": "iso8859-7",
        "8859/9": "iso8859-9",
        "8859/15": "iso8859-15",
        "GB 18030-2000": "gb18030",
    }
)
"""The codec of each character set of HL7 table 0211."""

ENCODING_CHARACTERS: Final = "^~\\&"

_ESCAPES: Final = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# PS3.5 6.2 puts the prefix before the suffix, HL7 2.A.89 the suffix before the prefix.
_NAME_ORDER: Final = (0, 1, 2, 4, 3)
_REPRESENTATIONS: Final = ("A", "I", "P")
"""HL7 table 0465: alphabetic, ideographic, phonetic, in the order of DICOM's groups."""

_SCHEMES: Final = {"UMLS": "UML"}
"""Coding systems that HL7 table 0396 names otherwise than DICOM does."""


def escaped(text: str) -> str:
    """Return text as the content of a component (HL7 2.7): no delimiter, no control character.

    A control character could end a segment or the message: each becomes a space.
    """
    plain = _CONTROLS.sub(" ", text)
    return "".join(_ESCAPES.get(letter, letter) for letter in plain)


def components(*parts: str) -> str:
    """Return escaped components of one field, without empty ones at the end."""
    return "^".join(map(escaped, parts)).rstrip("^")


def coded(code: Code, alternative: Code | None = None) -> str:
    """Return a coded element (CE, CWE), with another code for the same where there is one."""
    both = (code,) if alternative is None else (code, alternative)
    return components(
        *(
            part
            for one in both
            for part in (one.value, one.meaning, _SCHEMES.get(one.scheme, one.scheme))
        )
    )


def person_name(groups: Sequence[str]) -> str:
    """Return a person name (XPN) of the groups of one of DICOM, a repetition for each."""
    written = []
    for group, representation in zip(groups, _REPRESENTATIONS, strict=False):
        parts = [part.strip() for part in group.split("^")]
        if not any(parts):
            continue
        parts += [""] * (len(_NAME_ORDER) - len(parts))
        ordered = [parts[place] for place in _NAME_ORDER]
        # Degree is left empty; L stands for the legal name (table 0200).
        written.append(components(*ordered, "", "L", representation))
    return "~".join(written)


def time_stamp(moment: datetime) -> str:
    """Return a moment (TS) to the second, with its offset from UTC."""
    return moment.strftime("%Y%m%d%H%M%S%z")


def number(value: float) -> str:
    """Return a number (NM) without an exponent or needless digits."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def segment(name: str, fields: Mapping[int, str]) -> str:
    """Return a segment of its fields by their number in the standard."""
    written = [fields.get(place, "") for place in range(1, max(fields) + 1)]
    return "|".join([name, *written])


def encoded(text: str, character_set: CharacterSet) -> bytes:
    """Return the bytes of a message.

    Raises
    ------
    ObjectRefusedError
        The character set lacks a letter. Nothing is put in its place: a name would be another one.
    """
    try:
        return text.encode(CODECS[character_set])
    except UnicodeEncodeError as error:
        raise ObjectRefusedError(
            f"the report has letters that {character_set} does not: set character_set = "
            '"UNICODE UTF-8" under [[destinations]], or one that the receiver reads'
        ) from error
