"""The memory that a picture is drawn in."""

import numpy as np
from numpy.typing import NDArray

from dicom_node.objects.drawing.palette import RGB


def canvas_of(rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a black picture, (rows, columns, 3) uint8 in RGB."""
    # Not from numpy: it asks for large pages, for which a system that has been up for long moves
    # memory about, and that may take longer than all that is drawn.
    content = bytearray(rows * columns * 3)
    return np.frombuffer(content, dtype=np.uint8).reshape(rows, columns, 3)


def fill(pixels: NDArray[np.uint8], color: RGB) -> None:
    """Paint a part of a canvas in one color; by rows, since numpy is slow at it pixel by pixel."""
    pixels[:] = np.tile(np.array(color, dtype=np.uint8), (pixels.shape[1], 1))
