"""Features and truth of phantom studies of four views, gathered by what is answered for."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammoclip_core.engines.predictor import pooled
from mammoclip_core.findings import DENSITY_CATEGORIES
from mammoclip_core.networks.image_encoder import ImageEncoder
from training.errors import SettingsError
from training.examples.demonstration.answers import labels_of, last_maps
from training.examples.demonstration.finishing import maps_of
from training.examples.demonstration.phantom_images import read_truth
from training.pretraining.label_loss import FINDINGS
from training.whole_file import whole_file

DENSITY: Final = "density"
OUTPUTS: Final = {**{entry.name: 1 for _, entry in FINDINGS}, DENSITY: len(DENSITY_CATEGORIES)}
"""Logits of each task, in the order of labels."""

_CHUNK: Final = 16
_Value = TypeVar("_Value", np.float32, np.float64, np.int64)
_OWN_SIDE_FIRST: Final = ((0, 1, 2, 3), (2, 3, 0, 1))


class Unit(StrEnum):
    """What is answered for, and from which views."""

    IMAGE = "an image"
    BREAST = "a breast from its two views"
    BREAST_OF_FOUR = "a breast from all four views"
    PATIENT = "a patient from all four views"


VIEWS: Final = {Unit.IMAGE: 1, Unit.BREAST: 2, Unit.BREAST_OF_FOUR: 4, Unit.PATIENT: 4}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Studies:
    """P studies of the views RCC, RMLO, LCC, LMLO.

    Attributes
    ----------
    features : (P, 4, C) float32
    labels : (P, 4, tasks) int64, in the order of `OUTPUTS`
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def of(self, places: NDArray[np.intp]) -> "Studies":
        """Return some of the studies."""
        return Studies(features=self.features[places], labels=self.labels[places])

    def __add__(self, other: "Studies") -> "Studies":
        """Join two sets of studies."""
        return Studies(
            features=np.concatenate([self.features, other.features]),
            labels=np.concatenate([self.labels, other.labels]),
        )

    def standardised(self, others: "Studies") -> "Studies":
        """Return these with each channel's mean 0 and deviation 1 over the images of others."""
        known = others.features.reshape(-1, others.features.shape[-1])
        features = (self.features - known.mean(axis=0)) / (known.std(axis=0) + 1e-3)
        return Studies(features=features.astype(np.float32), labels=self.labels)

    def inputs(self, unit: Unit) -> Tensor:
        """Return the features of units, (U, V, C)."""
        return torch.from_numpy(gathered(self.features, unit))

    def truth(self, unit: Unit) -> dict[str, NDArray[np.int64]]:
        """Return the labels of units, (U,), by task."""
        own_side = Unit.BREAST if unit is Unit.BREAST_OF_FOUR else unit
        labels = gathered(self.labels, own_side).max(axis=1)
        return {task: labels[:, place] for place, task in enumerate(OUTPUTS)}


def gathered(values: NDArray[_Value], unit: Unit) -> NDArray[_Value]:
    """Gather what is known of each image, (P, 4, k), by units: (U, V, k), a breast's side first."""
    if unit is Unit.BREAST_OF_FOUR:
        values = values[:, _OWN_SIDE_FIRST]
    return values.reshape(-1, VIEWS[unit], values.shape[-1])


def read_studies(encoder: ImageEncoder, images: Path, maps: Path, cache: Path) -> Studies:
    """Pool the features of studies from maps behind the encoder's last block.

    Parameters
    ----------
    images, maps : folders that `prepare_phantoms` and `write_block_maps` made
    cache : file of the features; is written where it is not there

    Raises
    ------
    SettingsError
        The images are not those of whole studies.
    """
    truth = read_truth(images)
    views = [("R", "CC"), ("R", "MLO"), ("L", "CC"), ("L", "MLO")]
    shown = [(item.laterality, item.view_position) for item in truth]
    if shown != views * (len(truth) // len(views)):
        raise SettingsError(f"{images}: not every study has the four views RCC, RMLO, LCC, LMLO")
    if not cache.is_file():
        known = maps_of(maps)
        parts = [
            pooled(last_maps(encoder, known[start : start + _CHUNK]))
            for start in range(0, len(known), _CHUNK)
        ]
        with whole_file(cache) as stream:
            np.save(stream, np.concatenate(parts))
    features = np.load(cache)
    density = [DENSITY_CATEGORIES.index(item.density) for item in truth]
    columns = [*(labels_of(truth, entry.name) for _, entry in FINDINGS), density]
    labels = np.stack([np.asarray(column, np.int64) for column in columns], axis=1)
    return Studies(
        features=features.reshape(-1, len(views), features.shape[-1]),
        labels=labels.reshape(-1, len(views), len(columns)),
    )
