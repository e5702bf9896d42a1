"""From a frame's encoded bytes to stored values, checked against the header before and after."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.codestream import (
    END_MARKER,
    CodestreamSize,
    begins_codestream,
    check_effort,
    codestream_size,
    end_of_tile_parts,
    has_all_tiles,
    is_complete,
)
from mammoclip_core.images.decoding.sign_bit import other_sign_continues
from mammoclip_core.images.decoding.stored_values import (
    DecodedFrame,
    FrameLayout,
    contradiction,
    misplaced,
    stored_bits,
)
from mammoclip_core.images.decoding.unused_bits import (
    lie_at_low_end,
    padding_pixels,
    values_of_words,
)
from mammoclip_core.images.decoding.whole_jpeg import decoded_if_whole

DEFLATED: Final = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
RUN_LENGTH: Final = "1.2.840.10008.1.2.5"
UNCOMPRESSED: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED})
_JPEG: Final = "1.2.840.10008.1.2.4."
_DECODERS: Final[Mapping[str, Callable[[bytes], NDArray[Any]]]] = {
    **dict.fromkeys(
        (f"{_JPEG}50", f"{_JPEG}51", f"{_JPEG}57", f"{_JPEG}70"), imagecodecs.jpeg8_decode
    ),
    **dict.fromkeys((f"{_JPEG}80", f"{_JPEG}81"), imagecodecs.jpegls_decode),
    **dict.fromkeys((f"{_JPEG}90", f"{_JPEG}91"), imagecodecs.jpeg2k_decode),
    **dict.fromkeys((f"{_JPEG}201", f"{_JPEG}202", f"{_JPEG}203"), imagecodecs.jpeg2k_decode),
}
"""Decoder of each compressed transfer syntax (PS3.5 A.4). They let other threads run."""

ENCAPSULATED: Final = frozenset(_DECODERS) | {RUN_LENGTH}

_COMPRESSED: Final = "compressed pixel data"

_RUN_LENGTH_HEADER_BYTES: Final = 64
_RUN_LENGTH_SEGMENTS: Final = range(1, 16)

_BITS_OF_A_PICTURE: Final = 8
"""Bits of ordinary pictures. Under a header of more, windows and tables are meant for values that
are not there any more, or the codestream was cut: some decoders keep the low bits of such a one.
A codestream of ten or more under a header of more is an encoder that states what it needs."""

_TRIALS: Final = (b"\x00", b"\xfe", b"\xa5")
"""Bytes that a decoder would read as different values."""

_TRIAL_BYTES: Final = 64


def begins_frame(content: bytes, transfer_syntax: str) -> bool:
    """Tell whether a compressed frame begins with so many bytes.

    Parameters
    ----------
    content : 12 bytes or more

    References
    ----------
    PS3.5 G.5 (run length header).
    """
    if transfer_syntax != RUN_LENGTH:
        return begins_codestream(content)
    segments, first = (int.from_bytes(content[at : at + 4], "little") for at in (0, 4))
    return segments in _RUN_LENGTH_SEGMENTS and first == _RUN_LENGTH_HEADER_BYTES


def decode_frame(encoded: bytes, transfer_syntax: str, layout: FrameLayout) -> DecodedFrame:
    """Decode one compressed frame to what it stores, bits above Bits Stored removed.

    Where codestream and header disagree on precision or sign and a value shows it, the codestream
    counts: it is what the values were encoded with. Run length encoding states neither: see
    `values_of_words`.

    Raises
    ------
    PixelError
        The codestream is damaged, or of another size or kind than the header says.
    Exception
        Whatever a decoder raises on damaged input: they have no common class.

    References
    ----------
    PS3.5 8.2.1 (JPEG), 8.2.3 (JPEG-LS), 8.2.4 (JPEG 2000).
    """
    if transfer_syntax == RUN_LENGTH:
        return values_of_words(_run_length_values(encoded, layout), layout)
    codestream = _checked_codestream(encoded, layout)
    decoder = _DECODERS[transfer_syntax]
    read = _with_end if is_complete(encoded) else _without_end
    values = read(encoded, decoder, layout)
    if values.shape != (layout.rows, layout.columns):
        raise PixelError(
            f"{layout.sop_instance_uid}: the header says {layout.rows} x {layout.columns} pixels, "
            f"the pixel data hold {' x '.join(map(str, values.shape))}"
        )
    return reconciled(values, codestream, layout)


def _with_end(
    encoded: bytes, decoder: Callable[[bytes], NDArray[Any]], layout: FrameLayout
) -> NDArray[Any]:
    """Decode a frame that has its end marker, if nothing is missing before that.

    Some writers close whatever they have with an end marker. The decoder of JPEG fills the pixels
    that are missing then, without an error; it reads on where more data follow, which is tried
    where one pass does not tell. That of JPEG 2000 leaves tiles that are missing black.
    """
    if decoder is imagecodecs.jpeg2k_decode and not has_all_tiles(encoded):
        raise PixelError(f"{layout.sop_instance_uid}: the pixel data are truncated")
    if decoder is not imagecodecs.jpeg8_decode:
        return decoder(encoded)
    values, is_whole = decoded_if_whole(encoded, decoder) or (decoder(encoded), False)
    if not is_whole:
        body = encoded[: encoded.rindex(END_MARKER)].rstrip(b"\xff")
        if not np.array_equal(values, decoder(body + _TRIALS[-1] * _TRIAL_BYTES + END_MARKER)):
            raise PixelError(f"{layout.sop_instance_uid}: the pixel data are truncated")
    return values


def _without_end(
    encoded: bytes, decoder: Callable[[bytes], NDArray[Any]], layout: FrameLayout
) -> NDArray[Any]:
    """Decode a frame that lacks its end marker, if nothing but that is missing."""
    if decoder is imagecodecs.jpeg2k_decode:
        end = end_of_tile_parts(encoded)
        if end is not None:
            values = decoder(encoded[:end] + END_MARKER)
            # A frame is made even by a byte of 0, which may stand for a byte that is missing.
            may_be_padding = end == len(encoded) and encoded.endswith(b"\0")
            if not may_be_padding or np.array_equal(
                values, decoder(encoded[: end - 1] + _TRIALS[-1] + END_MARKER)
            ):
                return values
    elif decoder is imagecodecs.jpegls_decode:
        # It refuses a scan that ends too early or too late. A frame may have been padded by 0.
        for body in (encoded, encoded.removesuffix(b"\0")):
            with suppress(imagecodecs.JpeglsError):
                return decoder(body.rstrip(b"\xff") + END_MARKER)
    else:
        # This decoder goes on with what follows: if that changes no pixel, none was missing.
        body = encoded.rstrip(b"\xff")
        one, *others = (decoder(body + byte * _TRIAL_BYTES + END_MARKER) for byte in _TRIALS)
        if all(np.array_equal(one, other) for other in others):
            return one
    raise PixelError(f"{layout.sop_instance_uid}: the pixel data are truncated")


def reconciled(
    values: NDArray[Any], codestream: CodestreamSize, layout: FrameLayout
) -> DecodedFrame:
    """Read decoded values by the header, or by the codestream where a value contradicts that.

    Parameters
    ----------
    values : (rows, columns) as the decoder returns them

    Raises
    ------
    PixelError
        It cannot be told whether values are negative, or the codestream contradicts itself.
    """
    lowest, highest = int(values.min()), int(values.max())
    if highest >> codestream.bits:
        raise PixelError(
            f"{layout.sop_instance_uid}: the compressed pixel data are damaged: a value is more "
            f"than its {codestream.bits} bits hold"
        )
    is_short = codestream.bits <= layout.high_bit and layout.bits_stored <= layout.high_bit
    if is_short or lie_at_low_end(values, layout):
        # The values cannot reach the bit that the header names as their highest, or do not.
        bits = codestream.bits if is_short else layout.bits_stored
        low_end = replace(layout, high_bit=layout.bits_stored - 1)
        decoded = reconciled(values, codestream, low_end)
        return replace(decoded, remark=decoded.remark or misplaced(_COMPRESSED, bits, layout))
    if codestream.is_signed is None or (layout.signed and not codestream.is_signed):
        return _with_sign_to_tell(values, highest, codestream, layout)
    half = 1 << layout.high_bit
    low, high = (-half, half - 1) if layout.signed else (0, 2 * half - 1)
    if low <= lowest and highest <= high:
        return DecodedFrame(values=stored_bits(values, layout), bits_stored=layout.bits_stored)
    kind = "i" if codestream.is_signed else "u"
    return DecodedFrame(
        values=np.ascontiguousarray(values).astype(f"{kind}{layout.sample_bytes}"),
        bits_stored=codestream.bits,
        remark=contradiction(_COMPRESSED, codestream.bits, layout, is_signed=codestream.is_signed),
    )


def _with_sign_to_tell(
    values: NDArray[Any], highest: int, codestream: CodestreamSize, layout: FrameLayout
) -> DecodedFrame:
    """Read bit patterns of whose sign the header says more than the codestream, or the contrary.

    Lossless JPEG and JPEG-LS leave the sign to the header. Older encoders put signed values into
    JPEG 2000 as the bit patterns that JPEG would hold: a sign that it does not state is believed
    where only with it neighbours continue each other.
    """
    declared = layout.high_bit + 1
    if layout.signed and codestream.bits < declared and highest >= 1 << codestream.bits - 1:
        raise PixelError(
            f"{layout.sop_instance_uid}: the header says {declared} bits with sign, the codestream "
            f"{codestream.bits}: which values are negative cannot be told"
        )
    if codestream.is_signed is None and highest < 1 << declared:
        return values_of_words(values, layout)
    stored = layout
    if highest >= 1 << declared:
        stored = replace(layout, bits_stored=codestream.bits, high_bit=codestream.bits - 1)
    by_header, with_sign, without_sign = (
        stored_bits(values, one)
        for one in (layout, replace(stored, signed=True), replace(stored, signed=False))
    )
    is_signed = layout.signed and codestream.is_signed is None
    is_padding = padding_pixels(values.astype(f"u{layout.sample_bytes}", copy=False), layout)
    if other_sign_continues(without_sign, stored.bits_stored, is_padding, signed=is_signed):
        is_signed = not is_signed
    contents = with_sign if is_signed else without_sign
    is_as_header = np.array_equal(contents, by_header)
    if is_as_header and (codestream.is_signed is None or int(by_header.min()) >= 0):
        return DecodedFrame(values=by_header, bits_stored=layout.bits_stored)
    if is_as_header:
        remark = contradiction(
            _COMPRESSED, codestream.bits, layout, is_signed=False, counts="header says"
        )
        return DecodedFrame(values=by_header, bits_stored=layout.bits_stored, remark=remark)
    remark = contradiction(_COMPRESSED, stored.bits_stored, layout, is_signed=is_signed)
    return DecodedFrame(values=contents, bits_stored=stored.bits_stored, remark=remark)


def _run_length_values(encoded: bytes, layout: FrameLayout) -> NDArray[Any]:
    """Decode one segment a byte of a pixel, most significant first (PS3.5 G.4, G.5)."""
    segments = int.from_bytes(encoded[:4], "little")
    if len(encoded) < _RUN_LENGTH_HEADER_BYTES or segments != layout.sample_bytes:
        raise PixelError(
            f"{layout.sop_instance_uid}: the run length header is not one of "
            f"{layout.bits_allocated} bits a pixel"
        )
    # Into memory of the right size: a few bytes could ask for any.
    values = np.zeros(layout.rows * layout.columns, f"<u{layout.sample_bytes}")
    decoded = imagecodecs.dicomrle_decode(encoded, values.dtype, out=values.data.cast("B"))
    if len(decoded) != layout.frame_bytes:
        raise PixelError(f"{layout.sop_instance_uid}: the pixel data are truncated")
    return values.reshape(layout.rows, layout.columns)


def _checked_codestream(encoded: bytes, layout: FrameLayout) -> CodestreamSize:
    uid = layout.sop_instance_uid
    try:
        size = codestream_size(encoded)
    except ValueError as error:
        raise PixelError(f"{uid}: {error}") from error
    if (size.rows, size.columns, size.samples) != (layout.rows, layout.columns, 1):
        raise PixelError(
            f"{uid}: the header says {layout.rows} x {layout.columns} pixels of 1 sample, "
            f"the codestream {size.rows} x {size.columns} of {size.samples}"
        )
    if size.bits > layout.bits_allocated:
        raise PixelError(
            f"{uid}: the codestream holds {size.bits} bits, the header allocates "
            f"{layout.bits_allocated}"
        )
    if size.bits <= _BITS_OF_A_PICTURE < layout.bits_stored:
        raise PixelError(
            f"{uid}: the codestream holds {size.bits} bits, the header says {layout.bits_stored}: "
            "which of them counts cannot be told. Have the image sent as the detector made it."
        )
    try:
        check_effort(encoded)
    except ValueError as error:
        raise PixelError(f"{uid}: {error}") from error
    return size
