"""Mammo-FActOR against the reference numbers, and in a bundle."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_factory import pretraining_state, tokenizer, vocabulary_size, write_pretraining
from core_factory import breast
from numpy.typing import NDArray
from reproducible_weights import FIXTURES
from safetensors.torch import save_file

from mammoclip_core.bundles.tensors import BACKBONE, encoder_of, read_image_side
from mammoclip_core.engines.choice import load_model
from mammoclip_core.engines.torch_library import TorchLibrary
from mammoclip_core.errors import CheckpointError
from mammoclip_core.findings import LocalisationMethod
from mammoclip_core.manifest import read_manifest
from mammoclip_core.networks.mammo_factor import (
    FactorWeights,
    channel_similarities,
    factor_activation,
    factor_shapes,
    factor_weights,
    image_similarity,
)
from mammoclip_core.published.convert import convert

CELLS = 5 * 3
"""Of the feature map of the factory's 190 x 114 input."""


@pytest.fixture(scope="module")
def reference() -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / "factor.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a checkpoint and its tokenizer."""
    folder = tmp_path_factory.mktemp("inputs")
    words = tokenizer(folder / "tokenizer")
    write_pretraining(folder / "checkpoint.tar", pretraining_state(vocabulary_size(words)))
    return folder


def weights_of(reference: dict[str, NDArray[Any]], attribute: int) -> FactorWeights:
    return FactorWeights(
        hidden_weight=reference["w1"][attribute],
        hidden_bias=reference["b1"][attribute],
        output_weight=reference["w2"][attribute],
        output_bias=reference["b2"][attribute],
        attribute=reference["attribute_embeddings"][attribute],
    )


def trained(finding: str = "mass", cells: int = CELLS) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    return {
        f"factor.{finding}.{name}": torch.randn(shape) / 5
        for name, shape in factor_shapes(cells, 8).items()
    }


def converted(inputs: Path, out: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, out / "factor.safetensors")
    convert(
        inputs / "checkpoint.tar",
        str(inputs / "tokenizer"),
        out / "bundle",
        factor=out / "factor.safetensors",
    )
    return out / "bundle"


def batch() -> NDArray[np.float32]:
    grey = breast(190, 114).astype(np.float32) / 4000
    return np.repeat(grey[np.newaxis, np.newaxis], 3, axis=1)


@pytest.mark.parametrize("attribute", [0, 1])
def test_channel_similarities_are_the_references(
    reference: dict[str, NDArray[Any]], attribute: int
) -> None:
    weights = weights_of(reference, attribute)

    found = [channel_similarities(maps, weights) for maps in reference["feature_map"]]

    expected = reference["channel_similarity"][:, :, attribute]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attribute", [0, 1])
def test_image_similarity_is_the_best_channels(
    reference: dict[str, NDArray[Any]], attribute: int
) -> None:
    weights = weights_of(reference, attribute)

    found = [
        image_similarity(channel_similarities(maps, weights)) for maps in reference["feature_map"]
    ]

    np.testing.assert_allclose(found, reference["image_similarity"][:, attribute], rtol=1e-4)


def test_heatmap_is_the_sum_of_the_most_similar_channels() -> None:
    maps = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 2, 2), np.float32)

    values = factor_activation(maps, np.array([9, 1, 8, 2], np.float32), 2)

    assert values.tolist() == [[2, 2], [2, 2]]


def test_finding_with_weights_is_localised_by_them(inputs: Path, tmp_path: Path) -> None:
    bundle = converted(inputs, tmp_path, trained())

    (prediction,) = load_model(bundle).predict(batch())

    assert prediction.methods == {"mass": LocalisationMethod.FACTOR}
    manifest = read_manifest(bundle)
    tensors = read_image_side(bundle, manifest)
    encoder = TorchLibrary().encoder(encoder_of(manifest), tensors, BACKBONE, (1, 1))
    feature_map = encoder.feature_maps(batch())[0]
    similarities = channel_similarities(feature_map, factor_weights(tensors, "mass"))
    best = feature_map[np.argsort(-similarities)[:3]].sum(axis=0)
    assert prediction.activations["mass"].shape == best.shape
    assert prediction.activations["mass"].max() == 1


def test_other_findings_keep_their_class_activation(inputs: Path, tmp_path: Path) -> None:
    model = load_model(converted(inputs, tmp_path, trained()))

    (prediction,) = model.predict(batch())

    assert set(prediction.activations) == {"mass", "suspicious_calcification", "malignancy"}
    assert model.manifest.attribution == "cam"


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        (trained("odd"), "findings that the bundle lacks: odd"),
        (trained(cells=30), "factor.mass.hidden_bias (30,) instead of (15,)"),
        ({"a": torch.zeros(1)}, "the bundle lacks: none"),
        (
            {**trained(), "factor.mass.output_bias": torch.full((8,), torch.inf)},
            "not finite: factor.mass.output_bias",
        ),
    ],
)
def test_weights_of_something_else_are_refused(
    inputs: Path, tmp_path: Path, tensors: dict[str, torch.Tensor], complaint: str
) -> None:
    with pytest.raises(CheckpointError, match=re.escape(complaint)):
        converted(inputs, tmp_path, tensors)
