"""Noise, blur and tone of other machines, for training: what a model must not lean on."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from training.data.augmentation import Augmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How much the look of an image may change; half of the images are left as they are.

    Attributes
    ----------
    noise : grey values of 255
        Greatest standard deviation of white noise.
    blur : pixels of the model's input
        Greatest standard deviation of a Gaussian.
    gain, gamma : least and greatest
        Factor on grey values, and exponent of the tone curve.
    """

    noise: float = 5.0
    blur: float = 1.0
    gain: tuple[float, float] = (0.7, 1.4)
    gamma: tuple[float, float] = (0.7, 1.4)
    share: float = 0.5

    def __call__(self, image: Tensor, generator: np.random.Generator) -> Tensor:
        """Change a (1, rows, columns) image in [0, 1]."""
        blur, noise = generator.uniform(0.0, (self.blur, self.noise)).tolist()
        gain, gamma = generator.uniform(*self.gain), generator.uniform(*self.gamma)
        is_blurred, is_noisy, is_toned = (generator.random(3) < self.share).tolist()
        values = image[0].numpy()
        if is_blurred and blur > _LEAST_BLUR:
            values = cv2.GaussianBlur(values, (0, 0), blur)
        if is_toned:
            values = np.clip(values * np.float32(gain), 0.0, 1.0) ** np.float32(gamma)
        if is_noisy:
            white = generator.standard_normal(values.shape, dtype=np.float32)
            values = np.clip(values + np.float32(noise / 255) * white, 0.0, 1.0)
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None]


_LEAST_BLUR = 0.15
"""Narrower kernels are one pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAugmentation(Augmentation):
    """Mirrors, and another look."""

    affine: float = 0.0
    elastic: float = 0.0
    look: Look = field(default_factory=Look)

    def __call__(self, image: Tensor, seed: int) -> Tensor:
        """Change a (1, rows, columns) image: the same for the same seed, whatever ran before."""
        return self.look(Augmentation.__call__(self, image, seed), np.random.default_rng([seed, 1]))
