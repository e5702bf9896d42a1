"""What a bundle answers on prepared phantoms, from maps that were computed before."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from mammoclip_core.analysis.attribution import class_activation
from mammoclip_core.analysis.interpretation import calibrated
from mammoclip_core.engines.predictor import Predictor, pooled
from mammoclip_core.findings import LocalisationMethod
from mammoclip_core.manifest import PROMPTS_NAME, WEIGHTS_NAME, Manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.mammo_factor import factor_weights
from mammoclip_core.networks.numpy_projection import MapProjection
from training.bundles.bundle_encoder import read_image_encoder
from training.examples.demonstration.phantom_images import TrueImage
from training.factor.feature_maps import FeatureMaps
from training.factor.localisation import (
    LocalisedImage,
    TrueBoxes,
    localise,
    localise_activation,
)
from training.pretraining.label_loss import FINDINGS

_BATCH: Final = 16
_PROJECTION: Final = "image_projection."

FACTOR: Final = "Mammo-FActOR"
CLASS_ACTIVATION: Final = "class activation"


class Way(NamedTuple):
    """A method that looks for a finding."""

    method: str
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """Truth and answers of N images.

    Attributes
    ----------
    patients : (N,)
    labels, scores : (N,) by finding
        Scores are as the manifest calibrates them.
    density, said_density : (N,), 0 to 3
    localised : what class activation shows, and Mammo-FActOR where the bundle has it
    """

    patients: tuple[str, ...]
    labels: dict[str, NDArray[np.bool_]]
    scores: dict[str, NDArray[np.float64]]
    density: NDArray[np.int64]
    said_density: NDArray[np.int64]
    localised: dict[Way, list[LocalisedImage]]


class _Given:
    """Stands for an encoder whose feature maps are handed over in place of images."""

    stride = 1
    first_centre = 0.0

    def feature_maps(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return images


def answers_of(bundle: Path, block_maps: FeatureMaps, truth: list[TrueImage]) -> Answers:
    """Answer for images whose maps behind the encoder's last block are given.

    Parameters
    ----------
    block_maps : (N, 1, c, H, W) of the bundle's own encoder, see `maps.write_block_maps`
    truth : of the images, in their order
    """
    encoder, manifest = read_image_encoder(bundle)
    arrays = _arrays_of(bundle / WEIGHTS_NAME)
    prompts = _arrays_of(bundle / PROMPTS_NAME)
    projection = MapProjection(
        manifest.projection,
        {
            name.removeprefix(_PROJECTION): value
            for name, value in arrays.items()
            if name.startswith(_PROJECTION)
        },
    )
    model = Predictor(
        replace(manifest, attribution=LocalisationMethod.NONE.value, factor=()),
        _Given(),
        projection,
        float(arrays["logit_scale"]),
        prompts,
    )
    names = [entry.name for _, entry in FINDINGS]
    scores: dict[str, list[float]] = {name: [] for name in names}
    localised: dict[Way, list[LocalisedImage]] = {Way(CLASS_ACTIVATION, name): [] for name in names}
    localised |= {Way(FACTOR, entry.finding): [] for entry in manifest.factor}
    layout, size = encoder.layout, _size_of(manifest)
    said: list[int] = []
    for start, maps in _last_maps(encoder, block_maps):
        features = pooled(maps)
        for place, prediction in enumerate(model.predict(maps)):
            item = truth[start + place]
            said.append(int(np.argmax(prediction.density_scores)))
            for name in names:
                negative, positive = prompts[name]
                row = projection.channel_weights(features[place : place + 1], positive - negative)
                score = calibrated(prediction.scores[name], manifest.finding(name))
                scores[name].append(score)
                localised[Way(CLASS_ACTIVATION, name)].append(
                    localise_activation(
                        class_activation(maps[place], row[0]),
                        _boxes_of(item, name),
                        score=score,
                        encoder=layout,
                        size=size,
                    )
                )
            for entry in manifest.factor:
                localised[Way(FACTOR, entry.finding)].append(
                    localise(
                        maps[place],
                        factor_weights(arrays, entry.finding),
                        _boxes_of(item, entry.finding),
                        score=scores[entry.finding][-1],
                        top_channels=entry.top_channels,
                        encoder=layout,
                        size=size,
                    )
                )
    return Answers(
        patients=tuple(item.patient_id for item in truth),
        labels={entry.name: labels_of(truth, entry.name) for _, entry in FINDINGS},
        scores={name: np.array(own) for name, own in scores.items()},
        density=np.array(["ABCD".index(item.density) for item in truth]),
        said_density=np.array(said),
        localised=localised,
    )


def labels_of(truth: list[TrueImage], finding: str) -> NDArray[np.bool_]:
    """Tell which images show a finding, (N,)."""
    return np.array([len(_boxes_of(item, finding).boxes) > 0 for item in truth])


def _boxes_of(item: TrueImage, finding: str) -> TrueBoxes:
    attribute = next(known.value for known, entry in FINDINGS if entry.name == finding)
    own = [lesion for lesion in item.lesions if lesion.attribute == attribute]
    return TrueBoxes(
        patient_id=item.patient_id,
        boxes=np.array([lesion.box for lesion in own], np.float64).reshape(-1, 4),
        sizes_mm=np.array([lesion.size_mm for lesion in own], np.float64),
    )


@torch.inference_mode()
def last_maps(encoder: ImageEncoder, block_maps: FeatureMaps) -> NDArray[np.float32]:
    """Compute the last feature maps, (N, C, H, W), of some maps behind the last block."""
    values = torch.from_numpy(np.array(block_maps[:, 0], dtype=np.float32))
    result: NDArray[np.float32] = encoder.from_blocks(values).numpy()
    return result


def _last_maps(
    encoder: ImageEncoder, block_maps: FeatureMaps
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(block_maps), _BATCH):
        yield start, last_maps(encoder, block_maps[start : start + _BATCH])


def _arrays_of(file: Path) -> dict[str, NDArray[np.float32]]:
    return {name: value.float().numpy() for name, value in load_file(file).items()}


def _size_of(manifest: Manifest) -> tuple[int, int]:
    return manifest.preprocessing.rows, manifest.preprocessing.columns
