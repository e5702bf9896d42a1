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
    unsigned = np.ascontiguousarray(values).astype(f"u{layout.sample_bytes}")
    signed = np.dtype(f"{'i' if layout.signed else 'u'}{layout.sample_bytes}")
    if below == 0:
        return unsigned.view(signed)
    return (unsigned << above).view(signed) >> below
