"""Predictions of a loaded bundle, independent of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.findings import Box, LocalisationMethod
from mammoclip_core.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedBox:
    """One box that a detector reports, on its own square input.

    Attributes
    ----------
    box : left, top, right, bottom in pixels of the detector's input
    score : [0, 1]
    """

    box: Box
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the model answers for one image.

    Attributes
    ----------
    scores : [0, 1] by finding
        Before calibration: one for each finding of the manifest that is no class set.
    density_scores : empty, or 4 values that sum to 1
    class_scores : values that sum to 1, by class set other than density
    activations : (h, w) float32 in [0, 1] by finding
        Where the model looked, on any grid that covers the whole model input from edge to edge,
        relative to the image's own maximum. A finding without one is not localised.
    methods : how an activation came about, by finding, where not by the manifest's attribution
    boxes : by detector, by falling score
    embedding : what the scores were computed from, (D,) or (C,); None if a model keeps none
    """

    scores: Mapping[str, float]
    density_scores: tuple[float, ...] = ()
    class_scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    activations: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    methods: Mapping[str, LocalisationMethod] = field(default_factory=dict)
    boxes: Mapping[str, tuple[DetectedBox, ...]] = field(default_factory=dict)
    embedding: NDArray[np.float32] | None = None


class ImageModel(Protocol):
    """A loaded bundle: whatever computes predictions from prepared images."""

    @property
    def manifest(self) -> Manifest:
        """Return the manifest of the bundle."""

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        """Answer for each image of a (B, 3, H, W) batch, in order."""


class BoxModel(Protocol):
    """The loaded detectors of a bundle."""

    def detect(self, batch: NDArray[np.float32]) -> list[dict[str, tuple[DetectedBox, ...]]]:
        """Return each detector's boxes on each image of a (B, 3, 512, 512) batch, in order."""
