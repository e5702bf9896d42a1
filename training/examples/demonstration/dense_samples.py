"""Samples of dense supervision: a part of a prepared phantom, and what each of its cells shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mammoclip_core.networks.efficientnet import EfficientNet
from training.data.image_source import ARRAY_NAME, unit_range
from training.examples.demonstration.cell_targets import cell_truth
from training.examples.demonstration.look import Look
from training.examples.demonstration.phantom_images import TrueImage, TrueLesion, read_truth
from training.pretraining.label_loss import FINDINGS

_TRIES: Final = 20
_TISSUE: Final = 20
_LEAST_TISSUE: Final = 0.6
_DETAIL_SIGMA: Final = 2.0
_BUSIEST_OF: Final = 6


class DenseSample(NamedTuple):
    """One sample, or a batch of them.

    Attributes
    ----------
    image : (B, 1, rows, columns) in [0, 1]
    cells : (B, findings, H, W), as `cell_truth`
    density : (B,), 0 to 3 for A to D
    """

    image: Tensor
    cells: Tensor
    density: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseSampleSettings:
    """What the samples show.

    Attributes
    ----------
    images : folder that `prepare_phantoms` made
    rows, columns : pixels of the part that is shown; the whole image where they are its size
    repeats : how often in an epoch an image with a lesion is shown; one without is shown once
    look : how noise, blur and tone are changed; None for not at all
    lesion_share : of the parts of an image with lesions that lie around one; others lie anywhere
    busy_share : of the other parts that are the most detailed of a few
        There lie benign calcifications, the hard part of what is not suspicious.
    """

    images: str
    rows: int
    columns: int
    architecture: str = "tf_efficientnet_b0"
    repeats: int = 2
    seed: int = 10
    is_flipped: bool = True
    look: Look | None = None
    lesion_share: float = 1.0
    busy_share: float = 0.0


class DenseSamples(Dataset[DenseSample]):
    """Samples by (epoch, place): the same for the same seed, epoch and place."""

    def __init__(self, settings: DenseSampleSettings) -> None:
        folder = Path(settings.images)
        self._settings = settings
        self._layout = EfficientNet(settings.architecture)
        self._images = np.load(folder / ARRAY_NAME, mmap_mode="r")
        self._truth = read_truth(folder)
        known = {attribute.value for attribute, _ in FINDINGS}
        self._places = [
            place
            for place, item in enumerate(self._truth)
            for _ in range(
                settings.repeats if any(one.attribute in known for one in item.lesions) else 1
            )
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: tuple[int, int]) -> DenseSample:
        """Return the sample of an epoch and a place."""
        epoch, number = key
        place = self._places[number]
        generator = np.random.default_rng([self._settings.seed, epoch, number])
        image, item = np.array(self._images[place]), self._truth[place]
        size = (self._settings.rows, self._settings.columns)
        top, left = self._corner(image, item, generator)
        window = image[top : top + size[0], left : left + size[1]]
        lesions = [_moved(lesion, left, top) for lesion in item.lesions]
        if self._settings.is_flipped:
            window, lesions = _flipped(window, lesions, generator.random(2) < 0.5)
        layout = self._layout
        truth = cell_truth(lesions, layout.map_size(*size), layout.stride, layout.first_centre)
        limits = np.array([image.min(), image.max()])
        shown = unit_range(np.ascontiguousarray(window), limits)
        if self._settings.look is not None:
            shown = self._settings.look(shown, generator)
        return DenseSample(
            image=shown,
            cells=torch.from_numpy(truth),
            density=torch.tensor("ABCD".index(item.density)),
        )

    def _corner(
        self, image: NDArray[np.uint8], item: TrueImage, generator: np.random.Generator
    ) -> tuple[int, int]:
        """Return (top, left) of a part: around a lesion, else where there is tissue."""
        settings = self._settings
        size = (settings.rows, settings.columns)
        room = (image.shape[0] - size[0], image.shape[1] - size[1])
        if item.lesions and generator.random() < settings.lesion_share:
            lesion = item.lesions[generator.integers(len(item.lesions))]
            return _around(lesion, size, room, generator)
        tries = _BUSIEST_OF if generator.random() < settings.busy_share else 1
        places = [_on_tissue(image, size, room, generator) for _ in range(tries)]
        return places[0] if tries == 1 else _busiest(image, places, size)


def joined(samples: Sequence[DenseSample]) -> DenseSample:
    """Join samples into a batch."""
    return DenseSample(*(torch.stack(parts) for parts in zip(*samples, strict=True)))


def _moved(lesion: TrueLesion, left: float, top: float) -> TrueLesion:
    box = lesion.box
    moved = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return TrueLesion(attribute=lesion.attribute, size_mm=lesion.size_mm, box=moved)


def _flipped(
    window: NDArray[np.uint8], lesions: Sequence[TrueLesion], axes: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], list[TrueLesion]]:
    """Mirror rows, columns or both, and the boxes with them."""
    flipped = []
    for lesion in lesions:
        left, top, right, bottom = lesion.box
        if axes[0]:
            top, bottom = window.shape[0] - bottom, window.shape[0] - top
        if axes[1]:
            left, right = window.shape[1] - right, window.shape[1] - left
        box = (left, top, right, bottom)
        flipped.append(TrueLesion(attribute=lesion.attribute, size_mm=lesion.size_mm, box=box))
    return np.flip(window, tuple(np.flatnonzero(axes).tolist())), flipped


def _around(
    lesion: TrueLesion, size: tuple[int, int], room: tuple[int, int], generator: np.random.Generator
) -> tuple[int, int]:
    """Return (top, left) of a part that a lesion lies in, not always in the middle."""
    left, top, right, bottom = lesion.box
    row = (top + bottom) / 2 - size[0] * generator.uniform(0.1, 0.9)
    column = (left + right) / 2 - size[1] * generator.uniform(0.1, 0.9)
    return int(np.clip(row, 0, room[0])), int(np.clip(column, 0, room[1]))


def _on_tissue(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    room: tuple[int, int],
    generator: np.random.Generator,
) -> tuple[int, int]:
    """Return (top, left) of a part that is mostly tissue, if a few tries find one."""
    place = (0, 0)
    for _ in range(_TRIES):
        place = (int(generator.integers(room[0] + 1)), int(generator.integers(room[1] + 1)))
        if (_part(image, place, size) > _TISSUE).mean() > _LEAST_TISSUE:
            break
    return place


def _busiest(
    image: NDArray[np.uint8], places: Sequence[tuple[int, int]], size: tuple[int, int]
) -> tuple[int, int]:
    """Return the (top, left) of the part with the most detail as fine as calcifications."""
    values = image.astype(np.float32)
    detail = np.maximum(values - cv2.GaussianBlur(values, (0, 0), _DETAIL_SIGMA), 0.0)
    # The fourth power counts a few bright dots for more than noise everywhere.
    return max(places, key=lambda place: float((_part(detail, place, size) ** 4).sum()))


def _part(image: NDArray[Any], place: tuple[int, int], size: tuple[int, int]) -> NDArray[Any]:
    return image[place[0] : place[0] + size[0], place[1] : place[1] + size[1]]
