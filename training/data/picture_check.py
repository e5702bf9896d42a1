"""Pictures that are missing, damaged or blank, found before training begins."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from mammoclip_core.errors import PixelError
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import FRAME_PIXELS
from training.errors import TableError
from training.terminal import Say

SKIP_OPTION: Final = "--skip-unreadable"
"""The option of commands that leaves such pictures out."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_OF_ONE_VALUE: Final = 64
"""More kinds of byte than a picture of one value has, be it of four channels of 16 bits."""

_INFLATED_AT_ONCE: Final = 1 << 14
_THREADS: Final = 8
_NAMED: Final = 10


def unusable_pictures(files: Iterable[Path]) -> dict[Path, str]:
    """Return the files that cannot be used, each with the reason, in their order.

    A PNG is checked by the checksums of its parts, and by as much of its content as tells that it
    is not blank, which takes a small part of its decoding; any other file is read.
    """
    distinct = list(dict.fromkeys(files))
    with ThreadPoolExecutor(_THREADS) as pool:
        faults = pool.map(_fault, distinct)
        return {path: fault for path, fault in zip(distinct, faults, strict=True) if fault}


def require_usable(
    files: Iterable[Path],
    *,
    skip: bool,
    option: str = SKIP_OPTION,
    say: Say = lambda words: None,
) -> set[Path]:
    """Refuse pictures that cannot be used, or name and count them where they may be left out.

    Parameters
    ----------
    option : by which a person leaves them out, for the message

    Returns
    -------
    set of Path
        What is to be left out.

    Raises
    ------
    TableError
        Some cannot be used, and `skip` is false.
    """
    distinct = list(dict.fromkeys(files))
    faults = unusable_pictures(distinct)
    if not faults:
        return set()
    listed = "".join(f"\n  {path}: {fault}" for path, fault in list(faults.items())[:_NAMED])
    more = f"\n  and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    if not skip:
        raise TableError(
            f"{len(faults)} of {len(distinct)} pictures are missing or damaged: make them again, "
            f"or leave them out with {option}{listed}{more}"
        )
    say(f"{len(faults)} of {len(distinct)} pictures are left out:{listed}{more}")
    return set(faults)


def _fault(path: Path) -> str:
    """Say what is wrong with a picture; empty where nothing is."""
    try:
        return _content_fault(path)
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return error.strerror or type(error).__name__
    except zlib.error:
        return "the PNG is damaged: its content cannot be decompressed"
    except PixelError as error:
        return str(error)


def _content_fault(path: Path) -> str:
    with path.open("rb") as stream:
        content = stream.read() if stream.read(len(_PNG)) == _PNG else b""
    if content:
        fault = _png_fault(content)
        if fault or _is_surely_varied(content):
            return fault
    values = read_image(path).values[FRAME_PIXELS:-FRAME_PIXELS, FRAME_PIXELS:-FRAME_PIXELS]
    return "all its pixels have the same value" if values.min() == values.max() else ""


def _png_fault(content: bytes) -> str:
    """Check the parts of a PNG behind its signature (PNG, third edition, 5.3)."""
    kinds = []
    for kind, body, checksum in _png_parts(content):
        if zlib.crc32(kind + body) != checksum:
            return "the PNG is damaged: a checksum is wrong"
        kinds.append(kind)
    if not kinds or kinds[0] != b"IHDR" or kinds[-1] != b"IEND":
        return "the PNG is cut off"
    return "" if b"IDAT" in kinds else "the PNG holds no picture"


def _is_surely_varied(content: bytes) -> bool:
    """Tell that a PNG has pixels of several values, without decoding it where that is plain.

    Before it is compressed, a picture of one value has few kinds of byte, by whatever filter its
    lines are written: that of the filter, the value's bytes, their halves and 0 (PNG, third
    edition, 9.2).
    """
    inflated, seen = zlib.decompressobj(), set[int]()
    for kind, body, _ in _png_parts(content):
        waiting = body if kind == b"IDAT" else b""
        while waiting:
            seen.update(inflated.decompress(waiting, _INFLATED_AT_ONCE))
            if len(seen) > _OF_ONE_VALUE:
                return True
            waiting = inflated.unconsumed_tail
    return False


def _png_parts(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    place = 0
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            return
        yield kind, content[place + 8 : end], struct.unpack_from(">I", content, end)[0]
        place = end + 4
        if kind == b"IEND":
            return
