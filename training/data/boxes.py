"""What a set of boxes is, everywhere in training."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""(N, 4): left, top, right, bottom, in pixels, right and bottom being outside."""
