"""Values as their value representation allows them, corrected where one legal form exists."""

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pydicom.charset import python_encoding
from pydicom.valuerep import DSfloat, format_number_as_ds

_DATE: Final = re.compile(r"(\d{4})([.\-/]?)(\d{2})\2(\d{2})")
_TIME: Final = re.compile(r"(\d{2})(?::?([0-5]\d)(?::?([0-5]\d|60)(?:\.(\d+))?)?)?")
_INSTANT: Final = re.compile(r"(\d{4}(?:\d{2}(?:\d{2})?)?)(\d{2,6}(?:\.\d{1,6})?)?([+-]\d{4})?")
_AGE: Final = re.compile(r"(\d{1,3})([DWMY])")
_CODE: Final = re.compile(r"[A-Z0-9_][A-Z0-9_ ]{0,15}")
_UID: Final = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+")
_OFFSET: Final = re.compile(r"([+-])(\d{2}):?([0-5]\d)")
_LENGTHS: Final = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "AE": 16}
_LINES: Final = frozenset({"ST", "LT", "UT"})
_REPLACEMENT: Final = "\ufffd"
"""What a reader puts in the place of bytes that are no text of the character set."""

_ISO_REGISTRATION: Final = re.compile(r"ISO[ _-]?(?:2022[ _-]?)?IR[ _-]?(\d{1,3})")
_ISO_8859: Final = re.compile(r"(?:ISO[ _-]?8859[ _-]|LATIN[ _-]?)(\d{1,2})")
_REGISTRATIONS: Final = {
    1: 100,
    2: 101,
    3: 109,
    4: 110,
    5: 144,
    6: 127,
    7: 126,
    8: 138,
    9: 148,
    15: 203,
}
"""The registration of each part of ISO 8859 that DICOM knows."""

_ALONE: Final = frozenset({"ISO_IR 192", "GB18030", "GBK"})
"""Character sets without code extensions (PS3.3 C.12.1.1.2)."""

_MULTI_BYTE: Final = frozenset(
    {"ISO 2022 IR 87", "ISO 2022 IR 159", "ISO 2022 IR 149", "ISO 2022 IR 58"}
)
"""Character sets that cannot be the first, in which a text begins."""


def legal_value(vr: str, value: Any) -> Any | None:
    """Return one value in its legal form, or None where there is none or more than one.

    Parameters
    ----------
    vr : value representation by the data dictionary
    value : as pydicom reads it

    References
    ----------
    PS3.5 6.2.
    """
    correction = _CORRECTIONS.get(vr)
    if correction is not None:
        return correction(str(value).strip(" \0"))
    if vr in _LENGTHS or vr in {"UT", "UC"}:
        return _text(vr, str(value))
    if vr == "PN":
        return value if _is_name(str(value)) else None
    return value if isinstance(value, int | float) else None


def legal_offset(text: str) -> str | None:
    """Return an offset from UTC as ``+HHMM`` or ``-HHMM``, or None if it is none.

    References
    ----------
    PS3.3 C.12.1.1.8: -1200 to +1400, and zero is positive.
    """
    found = _OFFSET.fullmatch(text.strip(" \0"))
    if found is None:
        return None
    sign, hours, minutes = found[1], int(found[2]), int(found[3])
    total = (60 * hours + minutes) * (-1 if sign == "-" else 1)
    if not -12 * 60 <= total <= 14 * 60:
        return None
    return f"{'-' if total < 0 else '+'}{hours:02d}{minutes:02d}"


def legal_character_sets(stated: list[str]) -> list[str]:
    """Return the terms of Specific Character Set; none where it means the default repertoire.

    References
    ----------
    PS3.3 C.12.1.1.2.
    """
    terms = [_character_set(text, extended=len(stated) > 1) for text in stated]
    if any(term is None for term in terms):
        return []
    known = [term or "" for term in terms]
    if len(known) == 1 and known[0] in _MULTI_BYTE:
        known.insert(0, "")
    if known and known[0] in _ALONE:
        return known[:1]
    if any(term in _ALONE for term in known):
        return []
    known = known[:1] + [term for term in dict.fromkeys(known[1:]) if term]
    return known if any(known) else []


def _character_set(text: str, *, extended: bool) -> str | None:
    word = text.strip(" \0").upper()
    part = _ISO_8859.fullmatch(word)
    registration = _ISO_REGISTRATION.fullmatch(word)
    if word in {"UTF-8", "UTF8", "UTF_8"}:
        return "ISO_IR 192"
    if word.replace(" ", "").replace("-", "") in {"GB18030", "GBK"}:
        return word.replace(" ", "").replace("-", "")
    if part is not None and int(part[1]) in _REGISTRATIONS:
        number = _REGISTRATIONS[int(part[1])]
    elif registration is not None:
        number = int(registration[1])
    else:
        return None if word else ""
    if number == 6:
        return "ISO 2022 IR 6" if extended else ""
    single, multiple = f"ISO_IR {number}", f"ISO 2022 IR {number}"
    if number == 192:
        return single
    wanted = multiple if extended or multiple in _MULTI_BYTE or "2022" in word else single
    return wanted if wanted in python_encoding else None


def _text(vr: str, text: str) -> str | None:
    text = text.rstrip(" \0") if vr in _LINES else text.strip(" \0")
    allowed = "\t\n\f\r\x1b" if vr in _LINES else "\x1b"
    if any((not sign.isprintable() and sign not in allowed) for sign in text if sign < "\xa0"):
        return None
    if _REPLACEMENT in text or len(text) > _LENGTHS.get(vr, len(text)):
        return None
    return None if vr not in _LINES and "\\" in text else text


def _is_name(text: str) -> bool:
    """Tell whether a name has at most three groups of 64 characters and five components."""
    groups = text.split("=")
    return (
        len(groups) <= 3
        and all(len(group) <= 64 and group.count("^") <= 4 for group in groups)
        and _REPLACEMENT not in text
        and "\\" not in text
        and all(sign.isprintable() or sign == "\x1b" for sign in text if sign < "\xa0")
    )


def _date(text: str) -> str | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    day = found[1] + found[3] + found[4]
    try:
        datetime.strptime(day, "%Y%m%d")
    except ValueError:
        return None
    return day


def _time(text: str) -> str | None:
    found = _TIME.fullmatch(text)
    if found is None or int(found[1]) > 23:
        return None
    whole = "".join(filter(None, found.groups()[:3]))
    return f"{whole}.{found[4][:6]}" if found[4] else whole


def _instant(text: str) -> str | None:
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    day, time_of_day, offset = found.groups()
    if _date((day + "0101")[:8]) is None or (time_of_day and _time(time_of_day) is None):
        return None
    if offset and legal_offset(offset) is None:
        return None
    return day + (time_of_day or "") + (legal_offset(offset) or "" if offset else "")


def _age(text: str) -> str | None:
    found = _AGE.fullmatch(text.upper())
    return None if found is None else f"{int(found[1]):03d}{found[2]}"


def _code_string(text: str) -> str | None:
    return text.upper() if _CODE.fullmatch(text.upper()) else None


def _uid(text: str) -> str | None:
    return text if len(text) <= 64 and _UID.fullmatch(text) else None


def _decimal(text: str) -> DSfloat | None:
    try:
        # A comma is how much of the world writes the point of a decimal.
        number = float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return DSfloat(text if len(text) <= 16 and "," not in text else format_number_as_ds(number))


def _integer(text: str) -> int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and -(2**31) <= number < 2**31 else None


_CORRECTIONS: Final[dict[str, Callable[[str], Any | None]]] = {
    "AS": _age,
    "CS": _code_string,
    "DA": _date,
    "DS": _decimal,
    "DT": _instant,
    "IS": _integer,
    "TM": _time,
    "UI": _uid,
}
