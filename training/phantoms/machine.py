"""How a phantom's mammography unit takes and processes its picture: sharpness, noise, tone."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_TOP: Final = 3300.0
"""Brightest stored value of tissue, which no processing goes beyond."""

_MIDDLE: Final = 1500.0
"""Stored value at which the noise is as stated."""

_LINES: Final = {
    29: {"blur": (0.0, 0.5), "grain": (0.0, 0.4), "sharpening": (0.0, 0.3), "gamma": (0.9, 1.1)},
    48: {"blur": (0.3, 1.0), "grain": (0.4, 0.9), "sharpening": (0.2, 0.8), "gamma": (0.75, 1.0)},
    49: {"blur": (0.6, 1.4), "grain": (0.0, 0.6), "sharpening": (0.0, 0.5), "gamma": (1.0, 1.3)},
    93: {"blur": (0.0, 1.4), "grain": (0.0, 1.2), "sharpening": (0.0, 1.0), "gamma": (0.7, 1.35)},
}
"""Ranges of each line of machines, by its number in the tables."""

_NOISE: Final = (12.0, 60.0)
_GAIN: Final = (0.75, 1.15)
_SHARPENING_RADIUS: Final = (3.0, 12.0)

MACHINE_IDS: Final = tuple(_LINES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One unit, with its detector and its processing.

    Attributes
    ----------
    blur : pixels of the full picture
        Standard deviation of what focal spot and detector smear.
    noise : stored values
        Standard deviation at full size in tissue of middle brightness, before processing.
    grain : pixels of the full picture
        How far the noise of neighbouring pixels goes together; 0 for none.
    gain : factor on stored values
    sharpening : share of the detail that unsharp masking adds
    sharpening_radius : pixels of the full picture
    gamma : exponent of the tone curve
    """

    blur: float
    noise: float
    grain: float
    gain: float
    sharpening: float
    sharpening_radius: float
    gamma: float


def draw_machine(machine_id: int, generator: np.random.Generator) -> Machine:
    """Draw a unit of a line: no two are alike."""
    line = _LINES[machine_id]
    return Machine(
        blur=float(generator.uniform(*line["blur"])),
        noise=float(np.exp(generator.uniform(*np.log(_NOISE)))),
        grain=float(generator.uniform(*line["grain"])),
        gain=float(generator.uniform(*_GAIN)),
        sharpening=float(generator.uniform(*line["sharpening"])),
        sharpening_radius=float(generator.uniform(*_SHARPENING_RADIUS)),
        gamma=float(generator.uniform(*line["gamma"])),
    )


def acquire(
    canvas: NDArray[np.float32],
    machine: Machine,
    reduction: int,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return what a unit makes of a breast.

    Parameters
    ----------
    canvas : (rows, columns), stored values without noise
    reduction : how many times the canvas is smaller than the full picture
    """
    seen = _blurred(canvas, machine.blur / reduction)
    noise = generator.standard_normal(canvas.shape, dtype=np.float32)
    if machine.grain / reduction >= _LEAST_SIGMA:
        noise = _blurred(noise, machine.grain / reduction)
        noise /= np.float32(noise.std())
    # Denser tissue lets fewer quanta through, and the logarithm shows that as more noise.
    spread = np.sqrt(np.clip(seen / np.float32(_MIDDLE), 0.2, 2.0))
    seen = seen + np.float32(machine.noise / reduction) * spread * noise
    detail = seen - _blurred(seen, machine.sharpening_radius / reduction)
    seen = (seen + np.float32(machine.sharpening) * detail) * np.float32(machine.gain)
    tone = np.clip(seen / np.float32(_TOP), 0.0, 1.0) ** np.float32(machine.gamma)
    return np.asarray(tone * np.float32(_TOP), dtype=np.float32)


_LEAST_SIGMA: Final = 0.15
"""Narrower kernels are one pixel."""


def _blurred(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if sigma < _LEAST_SIGMA:
        return plane
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), dtype=np.float32)
