"""Properties of AMQP messages, as bytes, that a client's library does not decode."""

import struct
from typing import Final

_HEADERS: Final = 1 << 13
_CONTENT_TYPE: Final = 1 << 15


def basic_properties(table: bytes) -> bytes:
    """Return the properties of a message that has headers and nothing else."""
    return struct.pack(">HI", _HEADERS, len(table)) + table


def _of_task(value: bytes) -> bytes:
    return basic_properties(b"\x04task" + value)


def _nested(kind: bytes, levels: int) -> bytes:
    inner = b""
    for _ in range(levels):
        name = b"\x01x" if kind == b"F" and inner else b""
        inner = kind + struct.pack(">I", len(name + inner)) + name + inner
    return inner


RAW_PROPERTIES: Final[dict[str, bytes]] = {
    **{f"a time of {seconds}": _of_task(b"T" + struct.pack(">Q", seconds)) for seconds in (
        2**38, 2**47, 2**55, 2**62, 2**63, 2**64 - 1,
    )},
    **{f"{levels} arrays in one another": _of_task(_nested(b"A", levels)) for levels in (
        300, 900, 1000, 3000, 20_000,
    )},
    **{f"{levels} tables in one another": _of_task(_nested(b"F", levels)) for levels in (
        300, 900, 1000, 3000, 12_000,
    )},
    "a decimal of 255 places": _of_task(b"D\xff" + struct.pack(">i", -(2**31))),
    "a type that nobody has": _of_task(b"z"),
    "a type beyond ASCII": _of_task(b"\xff"),
    "a text that is longer than its table": _of_task(b"S" + struct.pack(">I", 2**32 - 1) + b"x"),
    "an array that is longer than its table": _of_task(b"A" + struct.pack(">I", 2**31) + b"V"),
    "a number that is cut": _of_task(b"l\x00"),
    "a table that ends within a name": basic_properties(b"\xff"),
    "a name without a value": basic_properties(b"\x04task"),
    "a table that is longer than its frame": struct.pack(">HI", _HEADERS, 2**32 - 1),
    "a content type that is no text": struct.pack(">H", _CONTENT_TYPE) + b"\x02\xff\xfe",
    "properties that are missing": b"\xff\xfc",
}  # fmt: skip
"""By what is wrong with them."""
