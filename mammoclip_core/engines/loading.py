"""A bundle checked, read and brought to the library that computes its networks."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from mammoclip_core.bundles.tensors import (
    BACKBONE,
    LOGIT_SCALE,
    PROJECTION,
    Tensors,
    encoder_of,
    head_prefix,
    read_image_side,
    read_prompts,
    weights_checked,
)
from mammoclip_core.engines.predictor import MapEncoder, MapHead, Predictor
from mammoclip_core.findings import EngineIdentity
from mammoclip_core.manifest import Manifest, read_manifest
from mammoclip_core.networks.efficientnet import EfficientNet
from mammoclip_core.networks.mammo_factor import factor_weights
from mammoclip_core.networks.numpy_projection import MapProjection
from mammoclip_core.prediction import BoxModel


class NetworkLibrary(Protocol):
    """A library that computes image encoders and detectors, and nothing else of a bundle."""

    @property
    def identity(self) -> EngineIdentity:
        """Return what results say of the engine."""

    def computing(self) -> AbstractContextManager[None]:
        """Return what is entered for each batch, around all that is computed of it."""

    def encoder(
        self, network: EfficientNet, tensors: Tensors, prefix: str, size: tuple[int, int]
    ) -> MapEncoder:
        """Build an image encoder.

        Parameters
        ----------
        tensors : by name, `prefix` included
        size : (rows, columns) of its input
        """

    def detectors(self, architectures: Mapping[str, str], tensors: Tensors) -> BoxModel:
        """Build detectors.

        Parameters
        ----------
        architectures : by detector
        tensors : by name
        """


def load_bundle(bundle: Path, library: NetworkLibrary) -> tuple[Predictor, BoxModel | None]:
    """Load the image side of a bundle, and its detectors where it has any.

    Raises
    ------
    BundleError
        A file is missing or altered, its tensors are not those of the manifest's model, or it was
        replaced meanwhile.
    """
    manifest = read_manifest(bundle)
    detectors = {entry.name: entry.architecture for entry in manifest.detectors}
    with weights_checked(bundle, manifest):
        tensors = read_image_side(bundle, manifest)
        predictor = _predictor_of(manifest, tensors, read_prompts(bundle, manifest), library)
        boxes = library.detectors(detectors, tensors) if detectors else None
    return predictor, boxes


def _predictor_of(
    manifest: Manifest, tensors: Tensors, prompts: Tensors, library: NetworkLibrary
) -> Predictor:
    size = (manifest.preprocessing.rows, manifest.preprocessing.columns)
    heads = {}
    for head in manifest.heads:
        prefix = head_prefix(head.name)
        network = encoder_of(manifest, head.encoder)
        heads[head.name] = MapHead(
            encoder=library.encoder(network, tensors, f"{prefix}encoder.backbone.", size),
            weight=tensors[f"{prefix}linear.weight"],
            bias=tensors[f"{prefix}linear.bias"],
        )
    projection = {
        name.removeprefix(PROJECTION): value
        for name, value in tensors.items()
        if name.startswith(PROJECTION)
    }
    return Predictor(
        manifest,
        library.encoder(encoder_of(manifest), tensors, BACKBONE, size),
        MapProjection(manifest.projection, projection),
        float(tensors[LOGIT_SCALE]),
        prompts,
        heads=heads,
        factor={entry.finding: factor_weights(tensors, entry.finding) for entry in manifest.factor},
        computing=library.computing,
    )
