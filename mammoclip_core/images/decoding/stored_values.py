"""What the Image Pixel module says of a frame's values, and the values kept of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLayout:
    """The Image Pixel module's numbers, checked.

    Attributes
    ----------
    sop_instance_uid : whose they are, for messages
    frames : 1 or more
    overlay_bits : mask of a word's bits that hold overlay planes
    padding : lowest and highest value of pixels that are no part of the image, or None
    """

    sop_instance_uid: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    frames: int
    overlay_bits: int = 0
    padding: tuple[int, int] | None = None

    @property
    def sample_bytes(self) -> int:
        """Return the bytes of one pixel."""
        return self.bits_allocated // 8

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one frame that is not compressed."""
        return self.rows * self.columns * self.sample_bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedFrame:
    """What one frame stores.

    Attributes
    ----------
    values : (rows, columns) uint8, int8, uint16 or int16
    bits_stored : of the values, which a codestream may state otherwise than the header
    remark : words, if it does; else empty
    """

    values: NDArray[Any]
    bits_stored: int
    remark: str = ""


def stored_bits(values: NDArray[Any], layout: FrameLayout) -> NDArray[Any]:
    """Keep the stored bits only, and give them their sign: decoders do neither."""
    above = layout.bits_allocated - 1 - layout.high_bit
    below = layout.bits_allocated - layout.bits_stored
    # Each copy of a mammogram is 17 MB of new memory: none is made that changes nothing.
    unsigned = np.ascontiguousarray(values).astype(f"u{layout.sample_bytes}", copy=False)
    signed = np.dtype(f"{'i' if layout.signed else 'u'}{layout.sample_bytes}")
    is_as_stored = (
        not layout.signed and above == below and not int(unsigned.max()) >> layout.bits_stored
    )
    if below == 0 or is_as_stored:
        return unsigned.view(signed)
    return (unsigned << above).view(signed) >> below


def contradiction(
    what: str, bits: int, layout: FrameLayout, *, is_signed: bool, counts: str = "pixel data say"
) -> str:
    """Say in a remark that pixel data and header state other values, and which of them count."""

    def words(number: int, signed: bool) -> str:
        return f"{number} bits {'with' if signed else 'without'} sign"

    return (
        f"the {what} hold {words(bits, is_signed)}, the header says "
        f"{words(layout.bits_stored, layout.signed)}: read as the {counts}"
    )


def misplaced(what: str, bits: int, layout: FrameLayout) -> str:
    """Say in a remark that the values lie at the low end of their words, against the header."""
    return (
        f"the {what} hold {bits} bits, the header places {layout.bits_stored} bits up to "
        f"bit {layout.high_bit}: read as the pixel data say"
    )
