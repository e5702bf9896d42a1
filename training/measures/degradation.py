"""What pictures of other machines have that a model may never have seen: noise, blur, gain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_WHITE: Final = 255.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """One way of making a picture worse.

    Attributes
    ----------
    name : in a table
    noise : grey values of 255
        Standard deviation of white noise.
    blur : pixels
        Standard deviation of a Gaussian.
    gain : factor on grey values; what becomes brighter than white is white
    """

    name: str
    noise: float = 0.0
    blur: float = 0.0
    gain: float = 1.0

    def of(self, picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
        """Return a worse picture, (rows, columns) uint8: blurred, brightened, then noisy."""
        values = picture.astype(np.float32)
        if self.blur:
            values = cv2.GaussianBlur(values, (0, 0), self.blur).astype(np.float32, copy=False)
        values *= np.float32(self.gain)
        if self.noise:
            values += np.float32(self.noise) * generator.standard_normal(
                values.shape, dtype=np.float32
            )
        return np.round(np.clip(values, 0.0, _WHITE)).astype(np.uint8)


CLEAN: Final = Degradation(name="clean")

DEGRADATIONS: Final[Sequence[Degradation]] = (
    CLEAN,
    Degradation(name="noise of 3 of 255", noise=3.0),
    Degradation(name="noise of 6 of 255", noise=6.0),
    Degradation(name="blur of 0.7 pixel", blur=0.7),
    Degradation(name="blur of 1.5 pixels", blur=1.5),
    Degradation(name="gain of 0.7", gain=0.7),
    Degradation(name="gain of 1.4", gain=1.4),
)
"""What the demonstration's model is held against, at the pictures' native size."""
