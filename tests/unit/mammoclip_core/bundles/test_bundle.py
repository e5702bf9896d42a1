import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from core_factory import breast
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mammoclip_core.analysis.attribution import class_activation
from mammoclip_core.bundles.tensors import (
    BACKBONE,
    TEXT_PREFIXES,
    encoder_of,
    read_image_side,
    read_prompts,
)
from mammoclip_core.engines.choice import load_engine, load_model
from mammoclip_core.engines.predictor import pooled, softmax
from mammoclip_core.engines.torch_library import TorchLibrary
from mammoclip_core.errors import BundleError
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import read_manifest
from mammoclip_core.networks.numpy_projection import MapProjection

SIZE = (380, 228)


@pytest.fixture
def bundle(random_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_bundle, tmp_path / "bundle"))


def batch(count: int = 2) -> NDArray[np.float32]:
    images = [breast(*SIZE, seed=seed).astype(np.float32)[:, :: 1 - 2 * seed] for seed in range(2)]
    grey = np.stack([(image / image.max() - 0.31) / 0.25 for image in images])[:count]
    return np.repeat(grey[:, np.newaxis], 3, axis=1).astype(np.float32)


def rewrite(bundle: Path, **changes: Any) -> None:
    """Change the weights' tensors and make the manifest agree with them."""
    path = bundle / "model.safetensors"
    with safe_open(path, framework="pt") as tensors:
        metadata = tensors.metadata()
    state = load_file(path)
    for name, value in changes.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    save_file(state, path, metadata=metadata)
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["weights_sha256"] = file_sha256(path)
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def test_altered_weights_are_refused(bundle: Path) -> None:
    path = bundle / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(BundleError, match="altered"):
        load_model(bundle)


def test_altered_prompts_are_refused(bundle: Path) -> None:
    path = bundle / "prompts.safetensors"
    prompts = load_file(path)
    save_file({**prompts, "mass": prompts["mass"].flip(0).contiguous()}, path)

    with pytest.raises(BundleError, match=r"prompts\.safetensors is altered"):
        load_model(bundle)


@pytest.mark.parametrize("name", ["model.safetensors", "prompts.safetensors", "bundle.json"])
def test_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()

    with pytest.raises(BundleError, match=name):
        load_model(bundle)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"image_projection.bias": None}, r"missing: image_projection\.bias"),
        ({"surprise": torch.zeros(1)}, "unknown: surprise"),
        ({"image_projection.bias": torch.zeros(3)}, r"another shape: image_projection\.bias"),
    ],
)
def test_weights_of_another_model_are_named(
    bundle: Path, changes: dict[str, Any], complaint: str
) -> None:
    rewrite(bundle, **changes)

    with pytest.raises(BundleError, match=complaint):
        load_model(bundle)


def test_device_that_is_not_there_is_named(bundle: Path) -> None:
    with pytest.raises(BundleError, match="'nonsense'"):
        load_model(bundle, device="nonsense")


def test_weights_in_half_precision_are_computed_in_full(bundle: Path) -> None:
    tensors = read_image_side(bundle, read_manifest(bundle))

    assert load_file(bundle / "model.safetensors")["image_projection.weight"].dtype == torch.float16
    assert tensors["image_projection.weight"].dtype == np.float32


def test_text_encoder_is_not_read_for_prediction(bundle: Path) -> None:
    tensors = read_image_side(bundle, read_manifest(bundle))

    assert not [name for name in tensors if name.startswith(TEXT_PREFIXES)]


def test_scores_do_not_depend_on_the_batch(bundle: Path) -> None:
    model = load_model(bundle)

    together, alone = model.predict(batch(2)), model.predict(batch(1))

    assert together[0].scores == pytest.approx(alone[0].scores, abs=1e-5)


def test_score_is_the_softmax_over_two_cosines(bundle: Path) -> None:
    model = load_model(bundle)
    prompts = load_file(bundle / "prompts.safetensors")["mass"]

    (prediction,) = model.predict(batch(1))

    embedding = model.embed(batch(1))[1][0]
    negative, positive = (prompts.numpy() @ embedding).tolist()
    expected = np.exp(positive) / (np.exp(positive) + np.exp(negative))
    assert prediction.scores["mass"] == pytest.approx(expected, abs=1e-6)


def test_prediction_keeps_the_embedding_that_its_scores_come_from(bundle: Path) -> None:
    model = load_model(bundle)

    (prediction,) = model.predict(batch(1))

    assert prediction.embedding is not None
    assert prediction.embedding == pytest.approx(model.embed(batch(1))[1][0], abs=1e-6)


def test_density_scores_sum_to_one(bundle: Path) -> None:
    (prediction,) = load_model(bundle).predict(batch(1))

    assert len(prediction.density_scores) == 4
    assert sum(prediction.density_scores) == pytest.approx(1)


def test_activation_explains_the_score(bundle: Path) -> None:
    """The map's mean, before it is cut at 0, is the similarity but for offset and length."""
    manifest = read_manifest(bundle)
    tensors = read_image_side(bundle, manifest)
    weight, bias = (tensors[f"image_projection.{name}"] for name in ("weight", "bias"))
    negative, positive = read_prompts(bundle, manifest)["mass"]
    direction = positive - negative
    encoder = TorchLibrary().encoder(encoder_of(manifest), tensors, BACKBONE, SIZE)
    maps = encoder.feature_maps(batch(1))
    projection = MapProjection(manifest.projection, {"weight": weight, "bias": bias})

    weights = projection.channel_weights(pooled(maps), direction)

    values = class_activation(maps[0], weights[0])
    length = float(np.linalg.norm(weight @ pooled(maps)[0] + bias))
    embedding = load_model(bundle).embed(batch(1))[1][0]
    similarity = float(embedding @ direction)
    assert (values.mean() + bias @ direction) / length == pytest.approx(similarity, abs=1e-4)


def test_activations_of_different_images_differ(bundle: Path) -> None:
    first, second = load_model(bundle).predict(batch(2))

    assert first.activations["mass"].max() == second.activations["mass"].max() == 1
    assert np.abs(first.activations["mass"] - second.activations["mass"]).max() > 0.2


def test_engine_tells_whose_answers_it_gives(bundle: Path) -> None:
    assert load_engine(bundle).manifest == read_manifest(bundle)


def test_softmax_of_large_similarities_is_finite() -> None:
    assert softmax(np.array([1000.0, 1000.0])).tolist() == [0.5, 0.5]
