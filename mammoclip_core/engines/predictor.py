"""From feature maps to predictions: similarities, heads, class activation and Mammo-FActOR."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.analysis.attribution import class_activation, on_input_grid, relative
from mammoclip_core.errors import ComputingError
from mammoclip_core.findings import FindingSource, LocalisationMethod
from mammoclip_core.manifest import TEMPERED_SCORING, FactorEntry, FindingEntry, Manifest
from mammoclip_core.networks.mammo_factor import (
    FactorWeights,
    channel_similarities,
    factor_activation,
)
from mammoclip_core.networks.numpy_projection import MapProjection
from mammoclip_core.prediction import Prediction

Array = NDArray[np.float32]


class MapEncoder(Protocol):
    """An image encoder: whatever computes its last feature map."""

    @property
    def stride(self) -> int:
        """Return the model input's pixels a cell of the feature map."""

    @property
    def first_centre(self) -> float:
        """Return where the first cell looks: index of its central input pixel along an axis."""

    def feature_maps(self, images: Array) -> Array:
        """Compute the last feature maps, (B, C, H, W), of (B, 3, rows, columns) images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapHead:
    """A fine-tuned classifier: an encoder of its own and one linear layer on pooled features.

    Attributes
    ----------
    weight, bias : (outputs, C) and (outputs,) float32
    """

    encoder: MapEncoder
    weight: Array
    bias: Array


@dataclass(slots=True)
class _Gathered:
    """What is known of one image while the encoders take their turns."""

    scores: dict[str, float] = field(default_factory=dict)
    density_scores: tuple[float, ...] = ()
    class_scores: dict[str, tuple[float, ...]] = field(default_factory=dict)
    activations: dict[str, Array] = field(default_factory=dict)
    methods: dict[str, LocalisationMethod] = field(default_factory=dict)
    embedding: Array | None = None

    def share(self, entry: FindingEntry, shares: NDArray[np.float64]) -> None:
        """Keep the shares of a finding's sides or classes."""
        values = tuple(map(float, shares))
        if not entry.is_class_set:
            self.scores[entry.name] = values[1]
        elif entry.is_density:
            self.density_scores = values
        else:
            self.class_scores[entry.name] = values


class Predictor:
    """Every finding of a bundle from the best source that it has, whatever computes the maps.

    Parameters
    ----------
    encoder : the prompts' encoder
    logit_scale : log of the factor on tempered similarities
    prompts : (P, D) float32 embeddings by finding
    heads : fine-tuned classifiers by name
    factor : Mammo-FActOR weights by finding
    computing : entered for each batch, around all that is computed of it
    """

    def __init__(
        self,
        manifest: Manifest,
        encoder: MapEncoder,
        projection: MapProjection,
        logit_scale: float,
        prompts: Mapping[str, Array],
        *,
        heads: Mapping[str, MapHead] | None = None,
        factor: Mapping[str, FactorWeights] | None = None,
        computing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._manifest = manifest
        self._encoder = encoder
        self._projection = projection
        self._logit_scale = logit_scale
        self._prompts = dict(prompts)
        self._heads = dict(heads or {})
        self._factor = dict(factor or {})
        self._computing = computing
        names = {entry.name for entry in manifest.findings}
        self._attributes = [entry for entry in manifest.factor if entry.finding in names]
        self._localises = manifest.attribution != LocalisationMethod.NONE
        self._by_prompt = [
            entry for entry in manifest.findings if entry.source is FindingSource.PROMPT
        ]

    @property
    def manifest(self) -> Manifest:
        """Return what the bundle says of itself."""
        return self._manifest

    def with_prompts(self, manifest: Manifest, prompts: Mapping[str, Array]) -> "Predictor":
        """Return a predictor of the same networks that answers other prompts."""
        return Predictor(
            manifest,
            self._encoder,
            self._projection,
            self._logit_scale,
            prompts,
            heads=self._heads,
            factor=self._factor,
            computing=self._computing,
        )

    def predict(self, batch: Array) -> list[Prediction]:
        """Answer for each image of a (B, 3, H, W) batch, in order.

        Raises
        ------
        ComputingError
            Memory is short, or the answer for an image is not finite: fewer images may do.
        """
        size = (batch.shape[2], batch.shape[3])
        gathered = [_Gathered() for _ in batch]
        with self._computing():
            if self._by_prompt or self._attributes:
                self._compare_prompts(self._encoder.feature_maps(batch), size, gathered)
            for entry in self._manifest.findings:
                if entry.source is FindingSource.HEAD:
                    self._apply_head(entry, batch, size, gathered)
        return [
            Prediction(
                scores=item.scores,
                density_scores=item.density_scores,
                class_scores=item.class_scores,
                activations=item.activations,
                methods=item.methods,
                embedding=item.embedding,
            )
            for item in gathered
        ]

    def embed(self, batch: Array) -> tuple[Array, Array]:
        """Return the pooled features, (B, C), and embeddings, (B, D), of (B, 3, H, W) images.

        Raises
        ------
        ComputingError
            As `predict` does.
        """
        with self._computing():
            features = _finite(pooled(self._encoder.feature_maps(batch)))
            return features, _finite(self._projection(features))

    def _compare_prompts(
        self, maps: Array, size: tuple[int, int], gathered: list[_Gathered]
    ) -> None:
        features = _finite(pooled(maps))
        embeddings = _finite(self._projection(features))
        for item, embedding in zip(gathered, embeddings, strict=True):
            item.embedding = embedding
        for entry in self._by_prompt:
            similarities = (embeddings @ self._prompts[entry.name].T).astype(np.float64)
            if self._manifest.scoring == TEMPERED_SCORING:
                similarities = similarities * np.exp(self._logit_scale)
            for item, row in zip(gathered, similarities, strict=True):
                item.share(entry, softmax(row))
        for attribute in self._attributes:
            self._attribute(attribute, maps, size, gathered)
        known = {attribute.finding for attribute in self._attributes}
        for entry in self._by_prompt:
            if entry.is_class_set or entry.name in known or not self._localises:
                continue
            negative, positive = self._prompts[entry.name]
            weights = self._projection.channel_weights(features, positive - negative)
            for item, values in zip(
                gathered, _looked_at(self._encoder, maps, weights, size), strict=True
            ):
                item.activations[entry.name] = values

    def _attribute(
        self, entry: FactorEntry, maps: Array, size: tuple[int, int], gathered: list[_Gathered]
    ) -> None:
        for item, feature_map in zip(gathered, maps, strict=True):
            similarities = channel_similarities(feature_map, self._factor[entry.finding])
            values = factor_activation(feature_map, similarities, entry.top_channels)
            item.activations[entry.finding] = _on_input(self._encoder, values, size)
            item.methods[entry.finding] = LocalisationMethod.FACTOR

    def _apply_head(
        self, entry: FindingEntry, batch: Array, size: tuple[int, int], gathered: list[_Gathered]
    ) -> None:
        head = self._heads[entry.head or ""]
        maps = head.encoder.feature_maps(batch)
        features = _finite(pooled(maps))
        logits = _finite(features @ head.weight.T + head.bias).astype(np.float64)
        for item, embedding in zip(gathered, features, strict=True):
            if item.embedding is None:  # the bundle has no prompts
                item.embedding = embedding
        for item, row in zip(gathered, logits, strict=True):
            if entry.is_class_set:
                item.share(entry, softmax(row))
            else:
                item.scores[entry.name] = float(_sigmoid(row[0]))
        if entry.is_class_set or not self._localises or entry.name in gathered[0].activations:
            return
        weights = np.broadcast_to(head.weight[0], features.shape)
        for item, values in zip(
            gathered, _looked_at(head.encoder, maps, weights, size), strict=True
        ):
            item.activations[entry.name] = values


def pooled(maps: Array) -> Array:
    """Average (B, C, H, W) feature maps over their cells."""
    with np.errstate(over="ignore", invalid="ignore"):
        features: Array = maps.mean(axis=(2, 3))
    return features


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share 1 among similarities, as they are."""
    exponentials = np.exp(values - values.max())
    shares: NDArray[np.float64] = exponentials / exponentials.sum()
    return shares


def _sigmoid(value: float) -> float:
    """Take a logit to [0, 1]."""
    return float(0.5 * (1.0 + np.tanh(0.5 * value)))


def _looked_at(
    encoder: MapEncoder, maps: Array, weights: Array, size: tuple[int, int]
) -> Iterator[Array]:
    """Yield where each image speaks for a finding, by what each channel adds to it."""
    for feature_map, row in zip(maps, weights, strict=True):
        yield _on_input(encoder, class_activation(feature_map, row), size)


def _on_input(encoder: MapEncoder, values: Array, size: tuple[int, int]) -> Array:
    return relative(on_input_grid(values, encoder.stride, encoder.first_centre, size))


def _finite(values: Array) -> Array:
    """Refuse values of which one is infinite or no number; raises ComputingError."""
    if not np.isfinite(values).all():
        raise ComputingError("the model's answer is no finite number")
    return values
