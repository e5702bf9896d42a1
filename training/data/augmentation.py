"""Augmentation of mammograms as the paper has it, and a light form for small machines."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How much an image may change; the defaults are the paper's.

    Attributes
    ----------
    flip : [0, 1]
        How often it is mirrored, along each axis.
    affine : [0, 1]
        How often it is turned, moved, scaled and sheared.
    degrees, shear : degrees to either side
    translate : share of the side
    scale : least and greatest factor
    elastic_alpha : 0 for none
    """

    flip: float = 0.5
    affine: float = 1.0
    degrees: float = 20.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.8, 1.2)
    shear: float = 20.0
    elastic_alpha: float = 10.0
    elastic_sigma: float = 15.0

    def __call__(self, image: Tensor, seed: int) -> Tensor:
        """Change a (1, rows, columns) image: the same for the same seed, whatever ran before."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            changed: Tensor = self._steps()(image)
        return changed

    def with_boxes(self, image: Tensor, boxes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Change an image, (1, rows, columns), and its boxes, (M, 4), together.

        A box becomes the smallest one around what it held; one that leaves the image is dropped.
        """
        rows, columns = image.shape[1:]
        on_image = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(rows, columns))
        steps = v2.Compose(
            [self._steps(), v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes(labels_getter=None)]
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            changed, moved = steps(tv_tensors.Image(image), on_image)
        return changed.as_subclass(Tensor), moved.as_subclass(Tensor)

    def _steps(self) -> Any:
        steps: list[Any] = [v2.RandomHorizontalFlip(self.flip), v2.RandomVerticalFlip(self.flip)]
        if self.affine > 0:
            moved = v2.RandomAffine(
                self.degrees,
                translate=(self.translate, self.translate),
                scale=self.scale,
                shear=(-self.shear, self.shear),
                interpolation=InterpolationMode.BILINEAR,
            )
            steps.append(v2.RandomApply([moved], p=self.affine))
        if self.elastic_alpha > 0:
            steps.append(v2.ElasticTransform(self.elastic_alpha, self.elastic_sigma))
        return v2.Compose(steps)


PLAIN = Augmentation(flip=0.0, affine=0.0, elastic_alpha=0.0)
"""Changes nothing: for validation."""
