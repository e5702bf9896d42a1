"""Pictures that are missing, damaged or blank, found before training begins."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
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
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of a pixel, by the PNG's color type (PNG, third edition, 11.2.1)."""

_HEADER_BYTES: Final = 13
_INFLATED_AT_ONCE: Final = 1 << 20
_THREADS: Final = 8
_NAMED: Final = 10


def unusable_pictures(files: Iterable[Path]) -> dict[Path, str]:
    """Return the files that cannot be used, each with the reason, in their order.

    Each is read as training will read it, and a PNG's checksums are compared besides: its decoder
    does not look at them.
    """
    distinct = list(dict.fromkeys(files))
    with ThreadPoolExecutor(_THREADS) as pool:
        faults = pool.map(_fault, distinct)
        return {path: fault for path, fault in zip(distinct, faults, strict=True) if fault}


def require_usable(
    files: Iterable[Path],
    *,
    skip: bool,
    known: Mapping[Path, str] | None = None,
    option: str = SKIP_OPTION,
    say: Say = lambda words: None,
) -> set[Path]:
    """Refuse pictures that cannot be used, or name and count them where they may be left out.

    Parameters
    ----------
    known : further pictures, which are not looked at: their faults, empty where there are none
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
    known = known or {}
    faults = {path: fault for path, fault in known.items() if fault} | unusable_pictures(distinct)
    count = len({*distinct, *known})
    if not faults:
        return set()
    listed = "".join(f"\n  {path}: {fault}" for path, fault in list(faults.items())[:_NAMED])
    more = f"\n  and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    if not skip:
        raise TableError(
            f"{len(faults)} of {count} pictures are missing or damaged: make them again, "
            f"or leave them out with {option}{listed}{more}"
        )
    say(f"{len(faults)} of {count} pictures are left out:{listed}{more}")
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
        if fault:
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
        if kind == b"IHDR" and len(body) != _HEADER_BYTES:
            return "the PNG is damaged: its header has another length"
    if not kinds or kinds[0] != b"IHDR" or kinds[-1] != b"IEND":
        return "the PNG is cut off"
    if b"IDAT" not in kinds:
        return "the PNG holds no picture"
    return "the PNG is damaged: lines of its picture are missing" if _lacks_lines(content) else ""


def _lacks_lines(content: bytes) -> bool:
    """Tell whether there are fewer bytes than its size asks for (PNG, third edition, 7.2).

    Its decoder leaves black what is missing. An interlaced picture has more bytes than counted
    here, by those of its filters: of it, a little may be missing.
    """
    inflated, count = zlib.decompressobj(), 0
    columns, rows, bits, color = 0, 0, 0, 0
    for kind, body, _ in _png_parts(content):
        if kind == b"IHDR":
            columns, rows, bits, color = struct.unpack_from(">IIBB", body)
        waiting = body if kind == b"IDAT" else b""
        while waiting:
            count += len(inflated.decompress(waiting, _INFLATED_AT_ONCE))
            waiting = inflated.unconsumed_tail
    count += len(inflated.flush())
    return count < rows * (1 + (columns * bits * _SAMPLES.get(color, 1) + 7) // 8)


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
