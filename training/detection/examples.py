"""Images at the detector's size with their true boxes, and how they change while it learns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mammoclip_core.errors import CoreError
from mammoclip_core.images.detector_input import to_detector_square
from mammoclip_core.images.preprocessing import PUBLISHED_MEAN, PUBLISHED_STD
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


class _Readable(Dataset[Example | CoreError]):
    """Images that are read one by one; a failure is a value, as it crosses processes."""

    def __init__(
        self, images: Sequence[BoxedImage], attribute: Attribute, preprocessing: Preprocessing
    ) -> None:
        self._images = images
        self._attribute = attribute
        self._preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, place: int) -> Example | CoreError:
        try:
            return _read(self._images[place], self._attribute, self._preprocessing)
        except CoreError as error:
            return error


def read_examples(
    images: Sequence[BoxedImage],
    attribute: Attribute,
    preprocessing: Preprocessing,
    on_image: Callable[[], None] = lambda: None,
    workers: int = 0,
) -> list[Example]:
    """Read images as the engine shows them to a detector, in order.

    Parameters
    ----------
    workers : processes that read, 0 for this one

    Raises
    ------
    PixelError, TableError
        As `BoxedImage.prepared` does.
    """
    examples = []
    for outcome in _in_order(_Readable(images, attribute, preprocessing), workers):
        if isinstance(outcome, CoreError):
            raise outcome
        examples.append(outcome)
        on_image()
    return examples


def _read(image: BoxedImage, attribute: Attribute, preprocessing: Preprocessing) -> Example:
    prepared = image.prepared(preprocessing)
    grey = prepared.grey
    if grey.dtype == np.uint16:
        grey = (grey >> 8).astype(np.uint8)
    square = to_detector_square(grey)
    scale = np.array([square.shape[1] / grey.shape[1], square.shape[0] / grey.shape[0]] * 2)
    boxes = image.boxes_on(attribute, prepared) * scale
    has_area = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    return Example(
        patient_id=image.patient_id, square=square, boxes=boxes[has_area].astype(np.float32)
    )


def _as_it_is(item: Any) -> Any:
    return item


def _in_order(items: Dataset[Any], workers: int) -> Iterator[Any]:
    """Yield items in order, made ahead by processes; the global random state stays as it is."""
    yield from DataLoader(
        items,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        generator=torch.Generator(),
    )


class ShownBatches(Dataset[tuple[Tensor, list[Tensor]]]):
    """The augmented batches of one epoch, each as `shown` returns it.

    Parameters
    ----------
    batches : the places of each batch's examples, and the seed of each one's augmentation
    """

    def __init__(
        self,
        examples: Sequence[Example],
        batches: Sequence[tuple[Sequence[int], Sequence[int]]],
        augmentation: Augmentation,
    ) -> None:
        self._examples = examples
        self._batches = batches
        self._augmentation = augmentation

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> tuple[Tensor, list[Tensor]]:
        places, seeds = self._batches[number]
        return shown(
            [self._examples[place] for place in places],
            PUBLISHED_MEAN,
            PUBLISHED_STD,
            augmentation=self._augmentation,
            seeds=seeds,
        )

    def loaded(self, workers: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield the batches in order, made ahead by so many processes; 0 makes them here."""
        yield from _in_order(self, workers)


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
