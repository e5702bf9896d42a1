"""From a frame's encoded bytes to stored values, checked against the header before and after."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import PixelError
from mammoclip_core.images.codestream import codestream_size, is_complete

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

_RUN_LENGTH_HEADER_BYTES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLayout:
    """The Image Pixel module's numbers, checked.

    Attributes
    ----------
    sop_instance_uid : whose they are, for messages
    frames : 1 or more
    """

    sop_instance_uid: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    frames: int

    @property
    def sample_bytes(self) -> int:
        """Return the bytes of one pixel."""
        return self.bits_allocated // 8

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one frame that is not compressed."""
        return self.rows * self.columns * self.sample_bytes


def decode_frame(encoded: bytes, transfer_syntax: str, layout: FrameLayout) -> NDArray[Any]:
    """Decode one compressed frame to what it stores, bits above Bits Stored removed.

    Raises
    ------
    PixelError
        The codestream is damaged, or of another size or kind than the header says.
    Exception
        Whatever a decoder raises on damaged input: they have no common class.
    """
    if transfer_syntax == RUN_LENGTH:
        return stored_bits(_run_length_values(encoded, layout), layout)
    _check_codestream(encoded, layout)
    values = _DECODERS[transfer_syntax](encoded)
    if values.shape != (layout.rows, layout.columns):
        raise PixelError(
            f"{layout.sop_instance_uid}: the header says {layout.rows} x {layout.columns} pixels, "
            f"the pixel data hold {' x '.join(map(str, values.shape))}"
        )
    return stored_bits(values, layout)


def stored_bits(values: NDArray[Any], layout: FrameLayout) -> NDArray[Any]:
    """Keep the stored bits only, and give them their sign: decoders do neither."""
    above = layout.bits_allocated - 1 - layout.high_bit
    below = layout.bits_allocated - layout.bits_stored
    unsigned = np.ascontiguousarray(values).astype(f"u{layout.sample_bytes}")
    signed = np.dtype(f"{'i' if layout.signed else 'u'}{layout.sample_bytes}")
    if below == 0:
        return unsigned.view(signed)
    return (unsigned << above).view(signed) >> below


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


def _check_codestream(encoded: bytes, layout: FrameLayout) -> None:
    uid = layout.sop_instance_uid
    try:
        size = codestream_size(encoded)
    except ValueError as error:
        raise PixelError(f"{uid}: {error}") from error
    if not is_complete(encoded):
        raise PixelError(f"{uid}: the pixel data are truncated")
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
