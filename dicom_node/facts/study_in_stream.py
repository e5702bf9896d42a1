"""Finds the Study Instance UID of a data set while its bytes are still coming."""

import os
import re
import stat
import zlib
from pathlib import Path
from typing import Final, Literal

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

STUDY_INSTANCE_UID: Final = 0x0020000D
TRANSFER_SYNTAX_UID: Final = 0x00020010

_MAXIMUM_ELEMENTS: Final = 10_000
"""Elements and items that are looked at; a mammogram has a hundred before its study's UID."""
_LONGEST_UID: Final = 64
_UID_PATTERN: Final = re.compile(r"[0-9.]+")
_INFLATED_BYTES: Final = 2**20
"""How much of a deflated data set is looked at."""
_BEGINNING_BYTES: Final = 262_144
"""How much of a file is looked at."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_LONG_FORM: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
"""Value representations with a length of four bytes (PS3.5 7.1.2)."""


class StreamedUid:
    """Looks for one UID on the first level of a data set that comes in parts.

    It reads tags and lengths and skips all values before the one wanted, so that it needs no
    memory and little time whatever comes. Elements are in the order of their tags (PS3.5 7.1):
    where they are not, where a data set is damaged or has thousands of elements before the one
    wanted, nothing is found.

    Parameters
    ----------
    tag : of the wanted value
    transfer_syntax : UID under which the data set is encoded

    Attributes
    ----------
    value : str or None
        Digits and points, without padding; None if it has not come yet, or is not found.
    is_settled : bool
        Whether nothing that is still to come will change the value.
    """

    def __init__(self, tag: int, transfer_syntax: str) -> None:
        self._tag = tag
        self._order: Literal["big", "little"] = (
            "big" if transfer_syntax == ExplicitVRBigEndian else "little"
        )
        self._inflater = (
            zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            if transfer_syntax == DeflatedExplicitVRLittleEndian
            else None
        )
        self._inflated_left = _INFLATED_BYTES
        self._implicit = [transfer_syntax == ImplicitVRLittleEndian]
        self._rest = bytearray()
        self._skip = 0
        self._elements_left = _MAXIMUM_ELEMENTS
        self.value: str | None = None
        self.is_settled = False

    def feed(self, part: bytes | memoryview) -> None:
        """Look at the next part of the data set; whatever it holds raises nothing."""
        if self.is_settled:
            return
        if self._inflater is not None:
            part = self._inflated(self._inflater, part)
        skipped = min(self._skip, len(part))
        self._skip -= skipped
        self._rest += part[skipped:]
        while self._next_element():
            pass
        if self._inflater is not None and not self._inflated_left:
            self.is_settled = True
        if self.is_settled:
            self._rest.clear()

    def _inflated(self, inflater: "zlib._Decompress", part: bytes | memoryview) -> bytes:
        try:
            inflated = inflater.decompress(part, self._inflated_left)
        except zlib.error:
            self.is_settled = True
            return b""
        self._inflated_left -= len(inflated)
        return inflated

    def _next_element(self) -> bool:
        """Pass over one element if its header is there; settle at the wanted one or behind it."""
        rest = self._rest
        if len(rest) < 8:
            return False
        tag = self._number(0, 2) << 16 | self._number(2, 4)
        is_delimiter = tag in {_ITEM, _ITEM_END, _SEQUENCE_END}
        representation = b"" if is_delimiter or self._implicit[-1] else bytes(rest[4:6])
        begin, length = 8, self._number(4, 8)
        if representation in _LONG_FORM:
            if len(rest) < 12:
                return False
            begin, length = 12, self._number(8, 12)
        elif representation:
            length = self._number(6, 8)
        on_first_level = len(self._implicit) == 1
        if on_first_level and tag == self._tag:
            return self._take(begin, length)
        self._elements_left -= 1
        if (on_first_level and (is_delimiter or tag > self._tag)) or self._elements_left < 0:
            self.is_settled = True
            return False
        if tag in {_ITEM_END, _SEQUENCE_END}:
            self._implicit.pop()
            length = 0
        elif length == _UNDEFINED:
            # A sequence of unknown representation has items in Implicit VR (PS3.5 6.2.2).
            self._implicit.append(self._implicit[-1] or representation == b"UN")
            length = 0
        present = min(begin + length, len(rest))
        self._skip = begin + length - present
        del rest[:present]
        return True

    def _take(self, begin: int, length: int) -> bool:
        if length <= _LONGEST_UID:
            if len(self._rest) < begin + length:
                return False
            value = self._rest[begin : begin + length].decode("ascii", errors="replace")
            found = _UID_PATTERN.fullmatch(value.strip(" \0"))
            self.value = found[0] if found else None
        self.is_settled = True
        return False

    def _number(self, begin: int, end: int) -> int:
        return int.from_bytes(self._rest[begin:end], self._order)


def study_of_file(file: Path) -> str | None:
    """Return the Study Instance UID of a received file; None if it is not found near its start.

    Raises
    ------
    OSError
        The file cannot be read, or is gone.
    """
    # A link or a pipe, which only somebody with access to the spool can plant, is not followed.
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        beginning = stream.read(_BEGINNING_BYTES)
    # File meta information begins with its own length (PS3.10 7.1).
    end = 144 + int.from_bytes(beginning[140:144], "little")
    syntax = StreamedUid(TRANSFER_SYNTAX_UID, "")
    syntax.feed(beginning[132:end])
    if syntax.value is None:
        return None
    study = StreamedUid(STUDY_INSTANCE_UID, syntax.value)
    study.feed(beginning[end:])
    return study.value
