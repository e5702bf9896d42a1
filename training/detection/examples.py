"""Images at the detector's size with their true boxes, and how they change while it learns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammoclip_core.images.detector_input import to_detector_square
from mammoclip_core.manifest import Preprocessing
from training.data.augmentation import Augmentation
from training.data.boxed_images import BoxedImage
from training.reports.report_synthesis import Attribute


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One image as a detector is shown it.

    Attributes
    ----------
    square : (side, side) uint8
    boxes : (M, 4) float32 in pixels of the square; M is 0 on an image without the finding
    """

    patient_id: str
    square: NDArray[np.uint8]
    boxes: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """The images of one training.

    Attributes
    ----------
    held_out : choose the honest epoch
    test : of these, the ones that bear the finding choose the published epoch
    """

    training: Sequence[Example]
    held_out: Sequence[Example]
    test: Sequence[Example]


def read_examples(
    images: Sequence[BoxedImage],
    attribute: Attribute,
    preprocessing: Preprocessing,
    on_image: Callable[[], None] = lambda: None,
) -> list[Example]:
    """Read images as the engine shows them to a detector.

    Raises
    ------
    PixelError, TableError
        As `BoxedImage.prepared` does.
    """
    examples = []
    for image in images:
        prepared = image.prepared(preprocessing)
        grey = prepared.grey
        if grey.dtype == np.uint16:
            grey = (grey >> 8).astype(np.uint8)
        square = to_detector_square(grey)
        scale = np.array([square.shape[1] / grey.shape[1], square.shape[0] / grey.shape[0]] * 2)
        boxes = image.boxes_on(attribute, prepared) * scale
        has_area = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        examples.append(
            Example(
                patient_id=image.patient_id,
                square=square,
                boxes=boxes[has_area].astype(np.float32),
            )
        )
        on_image()
    return examples


def shown(
    examples: Sequence[Example],
    mean: float,
    std: float,
    *,
    augmentation: Augmentation | None = None,
    seeds: Sequence[int] = (),
) -> tuple[Tensor, list[Tensor]]:
    """Return a batch, (B, 3, side, side), and the boxes (M, 4) of each of its images.

    Parameters
    ----------
    augmentation : None for images as they are
    seeds : one an image, of the augmentation
    """
    images, boxes = [], []
    for place, example in enumerate(examples):
        image = torch.from_numpy(example.square)[None].float() / 255
        own = torch.from_numpy(example.boxes)
        if augmentation is not None:
            image, own = augmentation.with_boxes(image, own, seeds[place])
        # In this order, as the engine's: another one changes the last bit.
        image = image - image.min()
        image = image / image.max().clamp(min=1e-6)
        images.append((image - mean) / std)
        boxes.append(own)
    return torch.stack(images).expand(-1, 3, -1, -1), boxes
