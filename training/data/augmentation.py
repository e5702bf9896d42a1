"""Augmentation of mammograms: as the authors' code has it, as the paper says, or none."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from training.data.deformation import (
    Deformation,
    Matrix,
    affine,
    centred,
    from_points,
    mirror,
    smooth_field,
)

AugmentationPreset = Literal["official", "paper", "none"]
"""Official: what the authors' code does. Paper: what the paper's text says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How much an image may change; the defaults are what the paper's text says.

    Attributes
    ----------
    flip : [0, 1]
        How often it is mirrored, along each axis.
    affine : [0, 1]
        How often it is turned, moved, scaled and sheared.
    degrees, shear : degrees to either side
    translate : share of the side
    scale : least and greatest factor
    is_one_sided : bool
        The affine turns, moves and shears by exactly the stated amounts, always to the same side
        and along both axes, and scales each axis by a factor of its own.
    elastic : [0, 1]
        How often it is deformed elastically.
    elastic_alpha : pixels, 0 for no field of displacements
    elastic_sigma : pixels
    elastic_shift : pixels
        By how much three reference points move at most, along each axis, before the field.
    is_rescaled : bool
        Least and greatest value become 0 and 1 after all that.
    """

    flip: float = 0.5
    affine: float = 1.0
    degrees: float = 20.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.8, 1.2)
    shear: float = 20.0
    is_one_sided: bool = False
    elastic: float = 1.0
    elastic_alpha: float = 10.0
    elastic_sigma: float = 15.0
    elastic_shift: float = 0.0
    is_rescaled: bool = False

    def __call__(self, image: Tensor, seed: int) -> Tensor:
        """Change a (1, rows, columns) image: the same for the same seed, whatever ran before."""
        deformation = self._drawn(image.shape[1], image.shape[2], seed)
        return self._shown(image, deformation)

    def with_boxes(self, image: Tensor, boxes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Change an image, (1, rows, columns), and its boxes, (M, 4), together.

        A box becomes the smallest one around what it held; one that leaves the image is dropped.
        """
        rows, columns = image.shape[1:]
        deformation = self._drawn(rows, columns, seed)
        changed = self._shown(image, deformation)
        if deformation is None or not len(boxes):
            return changed, boxes
        # Edges of pixels, which boxes are given by, lie half a pixel before their centres.
        corners = boxes[:, [0, 1, 2, 1, 0, 3, 2, 3]].reshape(-1, 2).float() - 0.5
        moved = deformation.of_points(corners).reshape(-1, 4, 2) + 0.5
        limit = torch.tensor([columns, rows], dtype=moved.dtype)
        least = moved.amin(1).clamp(min=0).minimum(limit)
        greatest = moved.amax(1).clamp(min=0).minimum(limit)
        stays = ((greatest - least) >= 1).all(1)
        return changed, torch.cat([least, greatest], dim=1)[stays].to(boxes.dtype)

    def _shown(self, image: Tensor, deformation: Deformation | None) -> Tensor:
        changed = image if deformation is None else deformation.of_image(image)
        if self.is_rescaled:
            changed = changed - changed.min()
            changed = changed / changed.max().clamp(min=1e-6)
        return changed

    def _drawn(self, rows: int, columns: int, seed: int) -> Deformation | None:
        """Draw a deformation; None where nothing moves."""
        generator = np.random.default_rng(seed)
        horizontally, vertically, is_affine, is_elastic = (
            generator.random(4) < (self.flip, self.flip, self.affine, self.elastic)
        ).tolist()
        matrix = mirror(horizontally=horizontally, vertically=vertically)
        if is_affine:
            matrix = self._affine(rows, columns, generator) @ matrix
        moved, field = None, None
        if is_elastic and self.elastic_shift > 0:
            moved = self._moved(rows, columns, generator)
        if is_elastic and self.elastic_alpha > 0:
            field = smooth_field(
                rows,
                columns,
                alpha=self.elastic_alpha,
                sigma=self.elastic_sigma,
                generator=torch.Generator().manual_seed(int(generator.integers(2**62))),
            )
        if moved is None and field is None and not (is_affine or horizontally or vertically):
            return None
        return Deformation(matrix=centred(matrix, rows, columns), moved=moved, field=field)

    def _affine(self, rows: int, columns: int, generator: np.random.Generator) -> Matrix:
        if self.is_one_sided:
            degrees, share = -self.degrees, np.full(2, self.translate)
            # Shears of both axes, and the turn, to the side that the authors' library gives them.
            shear = (self.shear, -self.shear)
            factors = generator.uniform(*self.scale, size=2)
        else:
            degrees = generator.uniform(-self.degrees, self.degrees)
            share = generator.uniform(-self.translate, self.translate, size=2)
            shear = (generator.uniform(-self.shear, self.shear), 0.0)
            factors = np.full(2, generator.uniform(*self.scale))
        return affine(
            degrees=float(degrees),
            shear=shear,
            scale=(float(factors[0]), float(factors[1])),
            shift=(float(share[0]) * columns, float(share[1]) * rows),
        )

    def _moved(self, rows: int, columns: int, generator: np.random.Generator) -> Matrix:
        """Move three corners of a square; as published, rows are taken for x in placing them."""
        middle = np.array([rows // 2, columns // 2], dtype=np.float64)
        half = min(rows, columns) // 3
        corners = middle + half * np.array([[1, 1], [1, -1], [-1, -1]])
        shifts = generator.uniform(-self.elastic_shift, self.elastic_shift, size=(3, 2))
        return from_points(corners, corners + shifts)


PLAIN: Final = Augmentation(flip=0.0, affine=0.0, elastic=0.0)
"""Changes nothing: for validation."""

OFFICIAL: Final = Augmentation(
    affine=0.5, is_one_sided=True, elastic=0.5, elastic_shift=50.0, is_rescaled=True
)
"""What the authors' code does with the defaults of its library, albumentations 1.4."""

PRESETS: Final[dict[AugmentationPreset, Augmentation]] = {
    "official": OFFICIAL,
    "paper": Augmentation(),
    "none": PLAIN,
}
