"""Size of a compressed frame as its codestream declares it, read before decoding."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

_JPEG_START: Final = b"\xff\xd8"
_JPEG_2000_START: Final = b"\xff\x4f\xff\x51"
_JPEG_2000_FILE_START: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Start of frame of JPEG (T.81 table B.1) and JPEG-LS (T.87 C.1.1)."""

_MARKERS_WITHOUT_LENGTH: Final = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
END_MARKER: Final = b"\xff\xd9"
"""End of image, or of codestream in JPEG 2000."""

_START_OF_TILE_PART: Final = b"\xff\x90"
_LEAST_TILE_PART: Final = 14
"""Bytes of a tile-part without data: its header and the marker that ends that."""

_PADDING_AT_MOST: Final = 64
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9


@dataclass(frozen=True, slots=True, kw_only=True)
class CodestreamSize:
    """Size of an image as its codestream declares it.

    Attributes
    ----------
    bits : per sample
    is_signed : whether samples are; None for JPEG and JPEG-LS, which do not say it
    """

    rows: int
    columns: int
    samples: int
    bits: int
    is_signed: bool | None = None


def codestream_size(frame: bytes) -> CodestreamSize:
    """Read the size of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame.

    Decoders allocate what the codestream asks for, whatever the data set says: a few bytes can
    ask for gigabytes.

    Raises
    ------
    ValueError
        The bytes are not such a codestream, or end before their size.

    References
    ----------
    ITU-T T.81 B.2.2 (frame header), T.87 C.2.2, T.800 A.5.1 (SIZ).
    """
    if frame.startswith(_JPEG_START):
        return _jpeg_size(frame)
    if frame.startswith(_JPEG_2000_START):
        return _jpeg_2000_size(frame, 0)
    if frame.startswith(_JPEG_2000_FILE_START):
        start = frame.find(_JPEG_2000_START)
        if start >= 0:
            return _jpeg_2000_size(frame, start)
    raise ValueError("the frame is no JPEG or JPEG 2000 codestream")


def is_complete(frame: bytes) -> bool:
    """Tell whether a codestream reaches its end marker, padding aside.

    Decoders fill missing data with grey without an error. The marker cannot occur by chance:
    all these codings keep it out of their data.
    """
    return END_MARKER in frame[-_PADDING_AT_MOST:] or frame.rstrip(b"\0").endswith(END_MARKER)


def end_of_tile_parts(frame: bytes) -> int | None:
    """Return where the last tile-part of a JPEG 2000 codestream ends; None if any is missing.

    Each tile-part states its own length, and how many its tile has.

    References
    ----------
    ITU-T T.800 A.4.2 (SOT), A.5.1 (SIZ).
    """
    start = frame.find(_JPEG_2000_START)
    seen: Counter[int] = Counter()
    stated: dict[int, int] = {}
    try:
        position = _first_tile_part(frame, start)
        while frame[position : position + 2] == _START_OF_TILE_PART:
            tile, length = _number(frame, position + 4, 2), _number(frame, position + 6, 4)
            if length < _LEAST_TILE_PART or position + length > len(frame):
                return None
            seen[tile] += 1
            if frame[position + 11]:
                stated[tile] = frame[position + 11]
            position += length
    except IndexError:
        return None
    is_whole = len(seen) == _number_of_tiles(frame, start) and dict(seen) == stated
    return position if is_whole else None


def _first_tile_part(frame: bytes, start: int) -> int:
    """Return where the main header ends; raises IndexError where it does not."""
    position = start + 2
    while frame[position : position + 2] != _START_OF_TILE_PART:
        if frame[position] != 0xFF:
            raise IndexError
        position += 2 + max(_number(frame, position + 2, 2), 2)
    return position


def _number_of_tiles(frame: bytes, start: int) -> int:
    width, height = _number(frame, start + 8, 4), _number(frame, start + 12, 4)
    tile_width, tile_height, left, top = (
        _number(frame, start + 24 + 4 * item, 4) for item in range(4)
    )
    if not tile_width or not tile_height:
        return 0
    return -(-(width - left) // tile_width) * -(-(height - top) // tile_height)


def _jpeg_size(frame: bytes) -> CodestreamSize:
    position = len(_JPEG_START)
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:
            raise ValueError("a JPEG marker is damaged")
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _MARKERS_WITHOUT_LENGTH:
            position += 2
            continue
        if marker in {_START_OF_SCAN, _END_OF_IMAGE}:
            break
        if marker in _FRAME_MARKERS and position + 10 <= len(frame):
            return CodestreamSize(
                rows=_number(frame, position + 5, 2),
                columns=_number(frame, position + 7, 2),
                samples=frame[position + 9],
                bits=frame[position + 4],
            )
        position += 2 + max(_number(frame, position + 2, 2), 2)
    raise ValueError("the JPEG codestream has no frame header")


def _jpeg_2000_size(frame: bytes, start: int) -> CodestreamSize:
    if start + 43 > len(frame):
        raise ValueError("the JPEG 2000 codestream ends in its header")
    width, height, left, top = (_number(frame, start + 8 + 4 * item, 4) for item in range(4))
    return CodestreamSize(
        rows=height - top,
        columns=width - left,
        samples=_number(frame, start + 40, 2),
        bits=(frame[start + 42] & 0x7F) + 1,
        is_signed=bool(frame[start + 42] & 0x80),
    )


def _number(frame: bytes, position: int, length: int) -> int:
    return int.from_bytes(frame[position : position + length], "big")
