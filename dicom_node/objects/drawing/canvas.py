"""The memory that a picture is drawn in, and that its object holds without another copy."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dicom_node.objects.drawing.palette import RGB


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Canvas:
    """An RGB picture over its bytes.

    Attributes
    ----------
    content : the pixels as an object holds them
        Of even length: the last byte is no pixel where their number is odd.
    pixels : (rows, columns, 3) uint8
        The same memory.
    """

    content: bytearray
    pixels: NDArray[np.uint8]

    @classmethod
    def of_size(cls, rows: int, columns: int) -> Self:
        """Return a canvas that is black."""
        length = rows * columns * 3
        # Not from numpy: it asks for large pages, for which a system that has been up for long
        # moves memory about, and that may take longer than all that is drawn.
        content = bytearray(length + length % 2)
        pixels = np.frombuffer(content, dtype=np.uint8, count=length)
        return cls(content=content, pixels=pixels.reshape(rows, columns, 3))


def fill(pixels: NDArray[np.uint8], color: RGB) -> None:
    """Paint a part of a canvas in one color; by rows, since numpy is slow at it pixel by pixel."""
    pixels[:] = np.tile(np.array(color, dtype=np.uint8), (pixels.shape[1], 1))
