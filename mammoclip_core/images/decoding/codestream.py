"""What a compressed frame declares of its size and coding, read before decoding."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

_JPEG_START: Final = b"\xff\xd8"
_JPEG_2000_START: Final = b"\xff\x4f\xff\x51"
_JPEG_2000_FILE_START: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Start of frame of JPEG (T.81 table B.1) and JPEG-LS (T.87 C.1.1)."""
_LOSSY_MARKERS: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive JPEG."""

_MARKERS_WITHOUT_LENGTH: Final = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
END_MARKER: Final = b"\xff\xd9"
"""End of image, or of codestream in JPEG 2000."""

_START_OF_TILE_PART: Final = b"\xff\x90"
_LEAST_TILE_PART: Final = 14
"""Bytes of a tile-part without data: its header and the marker that ends that."""

_PADDING_AT_MOST: Final = 64
_START_OF_SCAN: Final = 0xDA
_CODING_STYLE: Final = frozenset({0x52, 0x53})
"""Coding style of a codestream, and of one of its components."""

MAX_SCANS: Final = 100
"""Scans of a JPEG frame: each is a pass over all pixels. Encoders write about ten."""

_PIXELS_OF_A_PRECINCT: Final = 256
_PRECINCTS_AT_LEAST: Final = 1024
"""A small image may have more precincts than its pixels would allow it."""
_END_OF_IMAGE: Final = 0xD9


@dataclass(frozen=True, slots=True, kw_only=True)
class CodestreamSize:
    """Size of an image as its codestream declares it.

    Attributes
    ----------
    bits : per sample
    is_signed : whether samples are; None for lossless JPEG and JPEG-LS, which do not say it
        The lossy processes of JPEG have samples without sign (PS3.5 table 8.2.1-1).
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


def begins_codestream(content: bytes) -> bool:
    """Tell whether a JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame begins with so many bytes.

    Coded data of a JPEG frame cannot, and those of the others do so once in 4 billion times.

    Parameters
    ----------
    content : 12 bytes or more
    """
    # Behind the start another marker follows.
    return content.startswith((_JPEG_START + b"\xff", _JPEG_2000_START, _JPEG_2000_FILE_START))


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
    found = _tile_parts(frame, start)
    is_whole = (
        not found.is_cut_off
        and len(found.seen) == _number_of_tiles(frame, start)
        and dict(found.seen) == found.stated
    )
    return found.end if is_whole else None


def has_all_tiles(frame: bytes) -> bool:
    """Tell whether a JPEG 2000 codestream holds something of each tile, and all that it states.

    Decoders leave a tile that is missing black without an error. How many tile-parts a tile has
    need not be stated.
    """
    start = frame.find(_JPEG_2000_START)
    found = _tile_parts(frame, start)
    return len(found.seen) == _number_of_tiles(frame, start) and all(
        found.seen[tile] >= count for tile, count in found.stated.items()
    )


@dataclass(frozen=True, slots=True)
class _TileParts:
    """The tile-parts that follow each other behind a main header.

    Attributes
    ----------
    seen : tile to the number of its tile-parts
    stated : the same as the tile-parts state it
    end : byte behind the last that states its length
    is_cut_off : whether the next one reaches beyond the frame, or does not state its length
    """

    seen: Counter[int]
    stated: dict[int, int]
    end: int
    is_cut_off: bool


def _tile_parts(frame: bytes, start: int) -> _TileParts:
    found = _TileParts(Counter(), {}, 0, is_cut_off=True)
    try:
        position = _first_tile_part(frame, start)
        while frame[position : position + 2] == _START_OF_TILE_PART:
            tile, length = _number(frame, position + 4, 2), _number(frame, position + 6, 4)
            found.seen[tile] += 1
            if frame[position + 11]:
                found.stated[tile] = frame[position + 11]
            if length < _LEAST_TILE_PART or position + length > len(frame):
                return found
            position += length
    except IndexError:
        return found
    return replace(found, end=position, is_cut_off=False)


def check_effort(frame: bytes) -> None:
    """Refuse a codestream whose decoding takes far more work or memory than its pixels need.

    A precinct costs a decoder about a kilobyte, however few pixels it has. What
    tile-parts say of their own coding is not looked at.

    Parameters
    ----------
    frame : JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame whose size is known to be acceptable

    Raises
    ------
    ValueError
        It has too many scans, tiles or precincts for the size of its image.

    References
    ----------
    ITU-T T.81 B.2.3 (SOS), T.800 A.6.1 (COD), A.6.2 (COC), B.6 (precincts).
    """
    if frame.startswith(_JPEG_START):
        # The marker cannot be met within the coded data, which keep markers out.
        scans = frame.count(bytes((0xFF, _START_OF_SCAN)))
        if scans > MAX_SCANS:
            raise ValueError(f"the JPEG codestream has {scans} scans, more than {MAX_SCANS}")
        return
    start = frame.find(_JPEG_2000_START)
    size = _jpeg_2000_size(frame, start)
    allowed = size.rows * size.columns // _PIXELS_OF_A_PRECINCT + _PRECINCTS_AT_LEAST
    try:
        precincts = _precincts(frame, start)
    except IndexError as error:
        raise ValueError("the JPEG 2000 codestream ends in its header") from error
    if precincts > allowed:
        raise ValueError(
            f"the JPEG 2000 codestream has {precincts} tiles and precincts, more than the "
            f"{allowed} of an image of {size.rows} x {size.columns} pixels"
        )


def _precincts(frame: bytes, start: int) -> int:
    """Return the most precincts that a coding style in the main header asks for."""
    tiles = _number_of_tiles(frame, start)
    size = _jpeg_2000_size(frame, start)
    width = min(size.columns, _number(frame, start + 24, 4))
    height = min(size.rows, _number(frame, start + 28, 4))
    most = tiles
    components_bytes = 1 if size.samples < 257 else 2
    position, end = start + 2, _first_tile_part(frame, start)
    while position < end:
        marker = frame[position + 1]
        if marker in _CODING_STYLE:
            is_component = marker == 0x53
            style = position + 4 + (components_bytes if is_component else 0)
            coding = style + (1 if is_component else 5)
            if frame[style] & 1:
                levels = frame[coding]
                count = 0
                for resolution in range(levels + 1):
                    exponents = frame[coding + 5 + resolution]
                    below = levels - resolution
                    count += -(-width // (1 << below + (exponents & 15))) * -(
                        -height // (1 << below + (exponents >> 4))
                    )
                most = max(most, tiles * count)
        position += 2 + max(_number(frame, position + 2, 2), 2)
    return most


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
                is_signed=False if marker in _LOSSY_MARKERS else None,
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
