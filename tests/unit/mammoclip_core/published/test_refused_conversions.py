"""One broken file for each rule that a published checkpoint has to keep."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_factory import (
    TEXT,
    State,
    batch,
    configuration,
    write_pretraining,
)

from mammoclip_core.engines.choice import load_model
from mammoclip_core.errors import BundleError, CheckpointError
from mammoclip_core.manifest import Manifest
from mammoclip_core.published.convert import convert

Convert = Callable[..., Manifest]


@pytest.mark.parametrize(
    "name",
    [
        "image_encoder._conv_head.weight",
        "image_encoder._blocks.15._bn2.running_var",
        "image_encoder._blocks.3._expand_conv.weight",
        f"{TEXT}encoder.layer.1.output.dense.bias",
        f"{TEXT}embeddings.word_embeddings.weight",
        "image_projection.projection.weight",
        "text_projection.projection.bias",
        "logit_scale",
    ],
)
def test_missing_tensor_is_named(converted: Convert, published: State, name: str) -> None:
    state = {key: value for key, value in published.items() if key != name}

    with pytest.raises(CheckpointError, match=rf"missing.*{re.escape(name)}"):
        converted(state)


@pytest.mark.parametrize("name", ["image_encoder._fc.weight", "surprise", f"{TEXT}encoder.odd"])
def test_tensor_too_many_is_named(converted: Convert, published: State, name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"unknown: {re.escape(name)}"):
        converted({**published, name: torch.zeros(2)})


@pytest.mark.parametrize(
    "name",
    [
        "image_encoder._blocks.0._se_reduce.weight",
        f"{TEXT}encoder.layer.0.attention.self.key.weight",
        "text_projection.projection.weight",
    ],
)
def test_tensor_of_another_shape_is_named(converted: Convert, published: State, name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"another shape: {re.escape(name)} \(3, 5\)"):
        converted({**published, name: torch.zeros(3, 5)})


def test_value_that_is_no_number_is_named(converted: Convert, published: State) -> None:
    name = "image_projection.projection.bias"
    broken = published[name].clone()
    broken[3] = float("nan")

    with pytest.raises(CheckpointError, match=rf"not finite: {re.escape(name)}"):
        converted({**published, name: broken})


def test_weights_of_whole_numbers_are_refused(converted: Convert, published: State) -> None:
    name = "image_projection.projection.bias"

    with pytest.raises(CheckpointError, match=re.escape(name)):
        converted({**published, name: torch.zeros(32, dtype=torch.int64)})


def test_configuration_that_contradicts_the_tensors_is_refused(
    converted: Convert, published: State
) -> None:
    config = configuration(model__image_encoder__name="tf_efficientnet_b5_ns-detect")

    with pytest.raises(CheckpointError, match=r"b5_ns-detect .*b5.*tensors are .*b0"):
        converted(published, config)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model__projection_head__name": "mlp"}, "'mlp'"),
        ({"model__projection_head": None}, "projection None"),
        ({"model__projection_head__proj_dim": 512}, "512 dimensions"),
        ({"model__temperature": None}, "no model.temperature, its tensors hold logit_scale"),
        ({"model__image_encoder__name": "resnet101"}, "resnet101"),
        ({"model__image_encoder__name": "tf_efficientnet_b3_ns-detect"}, "b3"),
        ({"model__text_encoder__pooling": "max"}, "pooling 'max'"),
        ({"base__image_size_h": 10**9}, "1000000000 x 114"),
        ({"base__std": 0.0}, "base.std 0.0"),
        ({"base__text_max_length": -1}, "base.text_max_length -1"),
    ],
)
def test_contradiction_or_nonsense_of_the_configuration_is_named(
    converted: Convert, published: State, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(CheckpointError, match=re.escape(named)):
        converted(published, configuration(**change))


def test_encoders_without_projections_of_other_widths_are_refused(
    converted: Convert, published: State
) -> None:
    state = {name: value for name, value in published.items() if "_projection." not in name}

    with pytest.raises(CheckpointError, match="1280 and 64 dimensions"):
        converted(state, configuration(model__projection_head=None))


def test_layer_missing_in_between_is_refused(converted: Convert, published: State) -> None:
    state = {
        name.replace("encoder.layer.1.", "encoder.layer.7."): value
        for name, value in published.items()
    }

    with pytest.raises(CheckpointError, match="layers missing"):
        converted(state)


def test_image_side_alone_needs_no_tokenizer(published: State, tmp_path: Path) -> None:
    checkpoint = write_pretraining(tmp_path / "checkpoint.tar", published)

    manifest = convert(checkpoint, None, tmp_path / "bundle")

    features, _ = load_model(tmp_path / "bundle").embed(batch())
    assert features.shape == (1, 1280)
    assert (dict(manifest.text_encoder), manifest.findings) == ({}, ())
    assert manifest.licence == "CC-BY-NC-SA-4.0"


@pytest.mark.parametrize(
    "key", ["base__mean", "base__image_size_h", "model__text_encoder__pooling"]
)
def test_configuration_without_a_needed_value_is_refused(
    converted: Convert, published: State, key: str
) -> None:
    with pytest.raises(CheckpointError, match=key.replace("__", ".")):
        converted(published, configuration(**{key: None}))


def test_file_without_configuration_is_refused(converted: Convert, published: State) -> None:
    with pytest.raises(CheckpointError, match="no configuration"):
        converted(published, "none")


def test_other_model_is_refused(converted: Convert) -> None:
    with pytest.raises(CheckpointError, match=r"no image encoder of the published layout"):
        converted({f"layer{n}.weight": torch.zeros(3) for n in range(9)})


def test_tokenizer_of_another_model_is_refused(
    published: State, tmp_path: Path, words: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "vocab.txt").write_text((words / "vocab.txt").read_text() + "surplus\n")
    checkpoint = write_pretraining(tmp_path / "checkpoint.tar", published)

    with pytest.raises(CheckpointError, match="another model's"):
        convert(checkpoint, str(other), tmp_path / "bundle")


def test_refused_checkpoint_leaves_nothing_behind(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError):
        converted({**published, "surprise": torch.zeros(1)})

    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint.tar"]


def test_folder_in_use_is_not_written_over(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine.txt").write_text("precious")

    with pytest.raises(BundleError, match="not empty"):
        converted(published)
