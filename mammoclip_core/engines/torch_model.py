"""The exact engine: torch in float32, every finding from the best source that the bundle has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammoclip_core.analysis.attribution import class_activation, on_input_grid, relative
from mammoclip_core.engines.torch_computing import TorchComputer
from mammoclip_core.errors import ComputingError
from mammoclip_core.findings import FindingSource, LocalisationMethod
from mammoclip_core.manifest import TEMPERED_SCORING, FactorEntry, FindingEntry, Manifest
from mammoclip_core.networks.heads import FineTunedClassifier
from mammoclip_core.networks.image_encoder import ImageEncoder, pooled
from mammoclip_core.networks.mammo_clip import MammoClip
from mammoclip_core.networks.mammo_factor import (
    FactorWeights,
    channel_similarities,
    factor_activation,
)
from mammoclip_core.prediction import Prediction


@dataclass(slots=True)
class _Gathered:
    """What is known of one image while the encoders take their turns."""

    scores: dict[str, float] = field(default_factory=dict)
    density_scores: tuple[float, ...] = ()
    class_scores: dict[str, tuple[float, ...]] = field(default_factory=dict)
    activations: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    methods: dict[str, LocalisationMethod] = field(default_factory=dict)

    def share(self, entry: FindingEntry, shares: NDArray[np.float64]) -> None:
        """Keep the shares of a finding's sides or classes."""
        values = tuple(map(float, shares))
        if not entry.is_class_set:
            self.scores[entry.name] = values[1]
        elif entry.is_density:
            self.density_scores = values
        else:
            self.class_scores[entry.name] = values


class TorchImageModel:
    """The image side of a bundle in torch.

    Parameters
    ----------
    model, heads
        Changed for good: folded, on the computer's device, in its numbers.
    prompts : (P, D) embeddings by finding
    heads : fine-tuned classifiers by name
    factor : Mammo-FActOR weights by finding
    """

    def __init__(
        self,
        manifest: Manifest,
        model: MammoClip,
        prompts: Mapping[str, Tensor],
        computer: TorchComputer,
        *,
        heads: Mapping[str, FineTunedClassifier] | None = None,
        factor: Mapping[str, FactorWeights] | None = None,
    ) -> None:
        self._manifest = manifest
        self.computer = computer
        self._model = computer.ready(model)
        self._heads = {name: computer.ready(head) for name, head in (heads or {}).items()}
        self._prompts = {name: value.to(computer.device) for name, value in prompts.items()}
        self._factor = dict(factor or {})
        names = {entry.name for entry in manifest.findings}
        self._attributes = [entry for entry in manifest.factor if entry.finding in names]
        self._localises = manifest.attribution != LocalisationMethod.NONE
        self._by_prompt = [
            entry for entry in manifest.findings if entry.source is FindingSource.PROMPT
        ]
        projection = self._model.image_projection
        self._channel_weights = {
            entry.name: _numpy(_through(projection, self._direction(entry)))
            for entry in self._by_prompt
            if self._localises
            and not entry.is_class_set
            and isinstance(projection, nn.Linear | nn.Identity)
        }

    @property
    def manifest(self) -> Manifest:
        """Return what the bundle says of itself."""
        return self._manifest

    def asking(self, manifest: Manifest, prompts: Mapping[str, Tensor]) -> "TorchImageModel":
        """Return a model of the same networks that answers other prompts."""
        return TorchImageModel(
            manifest,
            self._model,
            prompts,
            self.computer,
            heads=self._heads,
            factor=self._factor,
        )

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        """Answer for each image of a (B, 3, H, W) batch, in order.

        Raises
        ------
        ComputingError
            Memory is short, or the answer for an image is no finite number.
        """
        gathered = [_Gathered() for _ in batch]
        with self.computer.computing():
            images = self.computer.images(batch)
            if self._by_prompt or self._attributes:
                self._compare_prompts(images, gathered)
            for entry in self._manifest.findings:
                if entry.source is FindingSource.HEAD:
                    self._ask_head(entry, images, gathered)
        return [
            Prediction(
                scores=item.scores,
                density_scores=item.density_scores,
                class_scores=item.class_scores,
                activations=item.activations,
                methods=item.methods,
            )
            for item in gathered
        ]

    def embed(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the pooled features, (B, C), and embeddings, (B, D), of (B, 3, H, W) images.

        Raises
        ------
        ComputingError
            As `predict` does.
        """
        with self.computer.computing():
            images = self.computer.images(batch)
            features = pooled(self.computer.feature_map(self._model.image_encoder, images))
            return _finite(features), _finite(self._model.project_features(features))

    def _direction(self, entry: FindingEntry) -> Tensor:
        prompts = self._prompts[entry.name]
        return prompts[1] - prompts[0]

    def _compare_prompts(self, images: Tensor, gathered: list[_Gathered]) -> None:
        feature_maps = self.computer.feature_map(self._model.image_encoder, images)
        embeddings = self._model.project_features(pooled(feature_maps))
        for entry in self._by_prompt:
            cosines = self._model.similarity(
                embeddings,
                self._prompts[entry.name],
                scaled=self._manifest.scoring == TEMPERED_SCORING,
            )
            for item, row in zip(gathered, _finite(cosines).astype(np.float64), strict=True):
                item.share(entry, softmax(row))
        maps = _numpy(feature_maps)
        for attribute in self._attributes:
            self._attribute(attribute, maps, images, gathered)
        for entry in self._by_prompt:
            known = entry.name in gathered[0].activations
            if entry.is_class_set or known or not self._localises:
                continue
            weights = self._weights_of(entry, feature_maps)
            for item, feature_map, row in zip(gathered, maps, weights, strict=True):
                item.activations[entry.name] = _activation(
                    self._model.image_encoder, feature_map, row, images
                )

    def _attribute(
        self,
        entry: FactorEntry,
        maps: NDArray[np.float32],
        images: Tensor,
        gathered: list[_Gathered],
    ) -> None:
        for item, feature_map in zip(gathered, maps, strict=True):
            similarities = channel_similarities(feature_map, self._factor[entry.finding])
            values = factor_activation(feature_map, similarities, entry.top_channels)
            item.activations[entry.finding] = _on_input(self._model.image_encoder, values, images)
            item.methods[entry.finding] = LocalisationMethod.FACTOR

    def _weights_of(self, entry: FindingEntry, feature_maps: Tensor) -> NDArray[np.float32]:
        """Return what each channel adds to the similarity, (B, C): the same for all if linear."""
        known = self._channel_weights.get(entry.name)
        if known is not None:
            return np.broadcast_to(known, (len(feature_maps), len(known)))
        with torch.inference_mode(mode=False):
            features = pooled(feature_maps.clone()).requires_grad_()
            similarity = self._model.project_features(features) @ self._direction(entry)
            (gradient,) = torch.autograd.grad(similarity.sum(), features)
        return _numpy(gradient)

    def _ask_head(self, entry: FindingEntry, images: Tensor, gathered: list[_Gathered]) -> None:
        head = self._heads[entry.head or ""]
        feature_maps = self.computer.feature_map(head.encoder, images)
        logits = head.linear(pooled(feature_maps))
        if entry.is_class_set:
            for item, row in zip(gathered, _finite(logits).astype(np.float64), strict=True):
                item.share(entry, softmax(row))
            return
        scores = _finite(torch.sigmoid(logits[:, 0]))
        weights = _numpy(head.linear.weight[0])
        for item, score, feature_map in zip(gathered, scores, _numpy(feature_maps), strict=True):
            item.scores[entry.name] = float(score)
            if self._localises and entry.name not in item.activations:
                item.activations[entry.name] = _activation(
                    head.encoder, feature_map, weights, images
                )


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share 1 among similarities, as they are."""
    exponentials = np.exp(values - values.max())
    shares: NDArray[np.float64] = exponentials / exponentials.sum()
    return shares


def _through(projection: nn.Module, direction: Tensor) -> Tensor:
    return direction @ projection.weight if isinstance(projection, nn.Linear) else direction


def _activation(
    encoder: ImageEncoder,
    feature_map: NDArray[np.float32],
    weights: NDArray[np.float32],
    images: Tensor,
) -> NDArray[np.float32]:
    return _on_input(encoder, class_activation(feature_map, weights), images)


def _on_input(
    encoder: ImageEncoder, values: NDArray[np.float32], images: Tensor
) -> NDArray[np.float32]:
    size = (images.shape[2], images.shape[3])
    return relative(on_input_grid(values, encoder.stride, encoder.first_centre, size))


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().contiguous().numpy()


def _finite(tensor: Tensor) -> NDArray[np.float32]:
    values = _numpy(tensor)
    if not np.isfinite(values).all():
        raise ComputingError("the model's answer is no finite number")
    return values
