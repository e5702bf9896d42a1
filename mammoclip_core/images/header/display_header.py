"""Display settings of a header; values that cannot be read count as absent."""

from typing import Any, Final

import numpy as np

from mammoclip_core.images.header.functional_groups import frame_groups
from mammoclip_core.images.header.header_numbers import number_or_none
from mammoclip_core.images.header.pixel_spacing import pixel_aspect_of
from mammoclip_core.images.header.views import HasAttributes, items_of, value_of
from mammoclip_core.images.stored_image import DisplayHeader, LookUpTable, Window

_FUNCTIONS: Final = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
_LUT_BITS: Final = range(8, 17)


def display_header_of(
    dataset: HasAttributes, frame: int, *, signed: bool, lowest: float
) -> DisplayHeader:
    """Read Modality LUT, VOI LUT, window, polarity, padding and aspect of pixels of one frame.

    Vendors write LUTs and windows that cannot be applied; none of them is a reason to refuse an
    image, so what cannot be read is left out.

    Parameters
    ----------
    frame : 1 or more
        Functional groups of an enhanced multi-frame image are looked up for it.
    signed : whether stored values are, so that the Modality LUT's first value and the padding are
    lowest : the least that the rescale can make of a stored value
        Below 0 the VOI LUT's first value is signed.

    References
    ----------
    PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT), C.7.6.16.2.10 (Frame VOI LUT), C.11.6
    (Presentation LUT Shape), C.7.5.1.1.2 (Pixel Padding).
    """
    sources = [dataset, *frame_groups(dataset, frame, "FrameVOILUTSequence")]
    modality_table = look_up_table_of(dataset, "ModalityLUTSequence", signed=signed)
    # The VOI LUT is for what comes out of the step before, whatever the stored values are.
    below_zero = modality_table is None and lowest < 0
    return DisplayHeader(
        modality_table=modality_table,
        voi_table=next(
            (
                table
                for source in sources
                if (table := look_up_table_of(source, "VOILUTSequence", signed=below_zero))
                is not None
            ),
            None,
        ),
        window=next((found for item in sources if (found := _window(item)) is not None), None),
        is_inverted=_word(dataset, "PresentationLUTShape") == "INVERSE",
        padding=padding_of(dataset, signed=signed),
        pixel_aspect=float(pixel_aspect_of(dataset)),
    )


def look_up_table_of(dataset: HasAttributes, keyword: str, *, signed: bool) -> LookUpTable | None:
    """Read the first table of a sequence: vendors give entries of 8 to 16 bits, as OW or US.

    Its items know the byte order of the file that they were read from. Those made anew are little
    endian. Entries may use fewer bits than the descriptor declares, or more; viewers scale by those
    that occur, since a table that reaches a sixteenth of its range shows nothing.
    """
    for item in items_of(dataset, keyword)[:1]:
        descriptor, data = value_of(item, "LUTDescriptor"), value_of(item, "LUTData")
        try:
            count, first, bits = (int(number) for number in descriptor)
            # 0 stands for 65,536 entries (PS3.3 C.11.1.1.1), and so does what US cannot hold.
            entries = _entries(_little_endian(data, item), (count & 0xFFFF) or 65_536)
        except (OverflowError, TypeError, ValueError):
            return None
        if len(entries) and bits in _LUT_BITS:
            used = max(int(entries.max()).bit_length(), 1)
            is_voi = keyword == "VOILUTSequence"
            return LookUpTable(
                entries=entries,
                first=_signed(first, signed=signed),
                bits=used if is_voi else bits,
            )
    return None


def padding_of(dataset: HasAttributes, *, signed: bool) -> tuple[int, int] | None:
    """Return the lowest and highest value of pixels that are no part of the image, if stated.

    Parameters
    ----------
    signed : whether stored values are

    References
    ----------
    PS3.3 C.7.5.1.1.2.
    """
    value = number_or_none(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = number_or_none(dataset, "PixelPaddingRangeLimit")
    low, high = sorted(
        _signed(int(item), signed=signed) for item in (value, value if limit is None else limit)
    )
    return low, high


def _window(dataset: HasAttributes) -> Window | None:
    center, width = number_or_none(dataset, "WindowCenter"), number_or_none(dataset, "WindowWidth")
    function = _word(dataset, "VOILUTFunction") or "LINEAR"
    if center is None or width is None or function not in _FUNCTIONS:
        return None
    if width <= (1.0 if function == "LINEAR" else 0.0):
        return None
    return Window(center=center, width=width, function=function)


def _little_endian(data: Any, item: HasAttributes) -> Any:
    """Return bytes as if they had been read from a little endian file: no reader swaps OW."""
    _, is_little = getattr(item, "original_encoding", (None, None))
    if is_little is not False or not isinstance(data, bytes):
        return data
    # Two entries of 8 bits share a word, whose bytes are swapped as well (PS3.5 7.3, A.3).
    return np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()


def _entries(data: Any, count: int) -> "np.ndarray[Any, np.dtype[np.uint16]]":
    """Return a table's entries: one or two bytes each, whichever gives their number."""
    if not isinstance(data, bytes):
        # As US or SS: read as words, of which each may hold two entries of 8 bits.
        data = np.atleast_1d(np.asarray(data)).astype(np.int64).astype("<u2").tobytes()
    # An odd number of entries of one byte is padded to whole words.
    if len(data) in {count, count + 1} and len(data) < 2 * count:
        return np.frombuffer(data[:count], np.uint8).astype(np.uint16)
    return np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.uint16)


def _signed(value: int, *, signed: bool) -> int:
    """Read a 16-bit value as its data set's pixels are: US and SS are told apart badly."""
    value &= 0xFFFF
    return value - 0x10000 if signed and value >= 0x8000 else value


def _word(dataset: HasAttributes, keyword: str) -> str:
    value = value_of(dataset, keyword)
    return value.strip().upper() if isinstance(value, str) else ""
