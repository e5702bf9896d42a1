"""Decodes a JPEG frame and proves in the same pass that nothing of it is missing."""

from collections.abc import Callable
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.images.decoding.codestream import END_MARKER

_HUFFMAN_FRAMES: Final = {0xC0: 8, 0xC1: 8, 0xC3: 1}
"""Rows of a unit of each sequential coding: baseline and extended in blocks, lossless in rows."""

_OTHER_FRAMES: Final = frozenset(range(0xC2, 0xD0)) - {0xC3, 0xC4, 0xC8, 0xCC}
_RESTARTS: Final = 0xDD
_SCAN: Final = 0xDA
_MOST_ROWS: Final = 65_535


def decoded_if_whole(
    frame: bytes, decode: Callable[[bytes], NDArray[Any]]
) -> tuple[NDArray[Any], bool] | None:
    """Decode a frame, and tell whether its data last to its last pixel.

    The decoder fills what is missing with zeros and raises nothing. So the frame is said to have
    one more row of units than it has: the decoder reads the first of them only if the data lasted
    until there, and leaves it grey otherwise.

    Parameters
    ----------
    frame : JPEG with its end marker
    decode : imagecodecs.jpeg8_decode

    Returns
    -------
    (rows, columns) values and whether they are proven to be whole, or None
        None where this way does not apply: progressive coding, several components, restarts, or
        values that the decoder refuses.

    References
    ----------
    ITU-T T.81 A.2.2 (non-interleaved order), B.2.2 (frame header).
    """
    place = _frame_header(frame)
    if place is None:
        return None
    unit = _HUFFMAN_FRAMES[frame[place + 1]]
    bits, rows = frame[place + 4], int.from_bytes(frame[place + 5 : place + 7], "big")
    start = -(-rows // unit) * unit
    if not rows or start + unit > _MOST_ROWS:
        return None
    longer = frame[: place + 5] + (start + unit).to_bytes(2, "big") + frame[place + 7 :]
    try:
        values = decode(longer)
    except imagecodecs.Jpeg8Error:
        return None
    first = values[start : start + unit, :unit]
    # Without data every value is the middle grey, or in lossless coding the one above.
    left_alone = {1 << bits - 1} if unit > 1 else {1 << bits - 1, int(values[rows - 1, 0])}
    is_whole = bool(np.ptp(first)) or int(first[0, 0]) not in left_alone
    return values[:rows], is_whole


def _frame_header(frame: bytes) -> int | None:
    """Return where the header of a sequential frame of one component without restarts begins."""
    position, found = 2, None
    while position + 10 <= len(frame) and frame[position] == END_MARKER[0]:
        marker = frame[position + 1]
        if marker == _SCAN:
            return found
        if marker in _OTHER_FRAMES or marker == _RESTARTS:
            return None
        if marker in _HUFFMAN_FRAMES:
            if found is not None or frame[position + 9] != 1:
                return None
            found = position
        position += 2 + max(int.from_bytes(frame[position + 2 : position + 4], "big"), 2)
    return None
