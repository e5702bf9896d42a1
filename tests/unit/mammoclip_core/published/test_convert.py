"""Every published layout into a bundle."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_factory import (
    ARCHITECTURE,
    TEXT,
    State,
    batch,
    bert_state,
    configuration,
    encoder_state,
    pretraining_state,
    projections,
    vocabulary_size,
)
from safetensors.torch import load_file
from torch.nn import functional

from mammoclip_core.engines.choice import load_model
from mammoclip_core.errors import CheckpointError
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import Manifest, read_manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.published.checkpoint_layout import (
    check_named_encoder,
    encoder_plan,
    recognise_architecture,
)
from mammoclip_core.published.models import STAGE_SIZES

Convert = Callable[..., Manifest]


def prompts_of(bundle: Path) -> dict[str, torch.Tensor]:
    return load_file(bundle / "prompts.safetensors")


def test_bundle_says_what_it_was_made_from(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    converted(published)

    manifest = read_manifest(tmp_path / "bundle")
    assert (manifest.licence, manifest.permitted_use) == ("CC-BY-NC-SA-4.0", "research use")
    assert manifest.weights_sha256 == file_sha256(tmp_path / "bundle" / "model.safetensors")
    assert manifest.sources == {"checkpoint": file_sha256(tmp_path / "checkpoint.tar")}
    assert manifest.version == f"epoch-7-{manifest.sources['checkpoint'][:12]}"


def test_sizes_are_those_of_the_tensors(converted: Convert, published: State, words: Path) -> None:
    manifest = converted(published)

    assert manifest.encoders[0].architecture == ARCHITECTURE
    assert manifest.projection_size == 32
    assert manifest.text_encoder["config"] == {
        "vocab_size": vocabulary_size(words),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "intermediate_size": 96,
        "max_position_embeddings": 80,
        "type_vocab_size": 2,
    }


def test_bundle_holds_the_lexicons_prompts(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    converted(published)

    prompts = prompts_of(tmp_path / "bundle")
    assert {name: len(rows) for name, rows in prompts.items()} == {
        "mass": 2,
        "suspicious_calcification": 2,
        "malignancy": 2,
        "density": 4,
    }
    torch.testing.assert_close(prompts["mass"].norm(dim=1), torch.ones(2))
    assert (tmp_path / "bundle" / "tokenizer" / "vocab.txt").is_file()


def test_bundle_predicts(converted: Convert, published: State, tmp_path: Path) -> None:
    converted(published)

    (prediction,) = load_model(tmp_path / "bundle").predict(batch())

    assert set(prediction.scores) == {"mass", "suspicious_calcification", "malignancy"}
    assert sum(prediction.density_scores) == pytest.approx(1)


def same_prompts(converted: Convert, state: State, other: State, tmp_path: Path) -> None:
    converted(state)
    expected = prompts_of(tmp_path / "bundle")
    (tmp_path / "bundle").rename(tmp_path / "first")
    converted(other)
    for name, rows in prompts_of(tmp_path / "bundle").items():
        torch.testing.assert_close(rows, expected[name])


def test_wrapped_names_are_read(converted: Convert, published: State, tmp_path: Path) -> None:
    wrapped = {f"module.{name}": value for name, value in published.items()}

    same_prompts(converted, published, wrapped, tmp_path)


def test_buffers_of_old_transformers_are_left_out(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    older = {
        **published,
        f"{TEXT}embeddings.position_ids": torch.arange(80)[None],
        f"{TEXT}embeddings.token_type_ids": torch.zeros(1, 80, dtype=torch.long),
    }

    same_prompts(converted, published, older, tmp_path)


def test_old_names_of_norms_are_read(converted: Convert, published: State, tmp_path: Path) -> None:
    older = {
        re.sub(
            r"LayerNorm\.bias$",
            "LayerNorm.beta",
            name.replace("LayerNorm.weight", "LayerNorm.gamma"),
        )
        if name.startswith(TEXT)
        else name: value
        for name, value in published.items()
    }

    assert f"{TEXT}embeddings.LayerNorm.beta" in older
    same_prompts(converted, published, older, tmp_path)


def test_head_that_predicts_masked_words_is_left_out(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    with_head = {
        name.replace(TEXT, f"{TEXT}bert.") if name.startswith(TEXT) else name: value
        for name, value in published.items()
    }
    with_head[f"{TEXT}cls.predictions.bias"] = torch.zeros(5)

    same_prompts(converted, published, with_head, tmp_path)

    left_out = read_manifest(tmp_path / "bundle").left_out
    assert left_out == (f"{TEXT}cls.predictions.bias",)


@pytest.mark.parametrize("architecture", STAGE_SIZES)
def test_encoder_is_recognised_by_its_tensors(architecture: str) -> None:
    state = {
        key: torch.empty(place.shape, device="meta")
        for key, place in encoder_plan(architecture, "image_encoder.", "").items()
    }

    assert recognise_architecture(state, "image_encoder.", "x") == architecture


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("tf_efficientnet_b5_ns-detect", "tf_efficientnet_b5"),
        ("tf_efficientnetv2-detect", "tf_efficientnet_b2"),
        ("efficientnet-b7", "tf_efficientnet_b7"),
        ("tf_efficientnet_b3_ns-detect", "tf_efficientnet_b3"),
    ],
)
def test_encoder_is_named_in_many_ways(name: str, architecture: str) -> None:
    check_named_encoder(name, architecture, "x")

    with pytest.raises(CheckpointError, match=f"{name}.*tensors are tf_efficientnet_b1"):
        check_named_encoder(name, "tf_efficientnet_b1", "x")


def test_encoder_of_the_published_size_has_its_features(
    converted: Convert, words: Path, tmp_path: Path
) -> None:
    state = {
        **encoder_state(architecture="tf_efficientnet_b5"),
        **bert_state(vocabulary_size(words)),
        **projections(features=2048),
        "logit_scale": torch.tensor(2.0),
    }
    torch.manual_seed(0)
    encoder = ImageEncoder("tf_efficientnet_b5").eval()

    manifest = converted(
        state, configuration(model__image_encoder__name="tf_efficientnet_b5_ns-detect")
    )

    features, _ = load_model(tmp_path / "bundle").embed(batch())
    with torch.inference_mode():
        expected = encoder(torch.from_numpy(batch()))
    torch.testing.assert_close(torch.from_numpy(features), expected, rtol=1e-4, atol=1e-6)
    assert len(encoder_plan("tf_efficientnet_b5", "", "")) == 852
    assert manifest.name == "mammo-clip-b5"


def test_text_encoder_without_its_wrapper_is_read(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    bare = {name.replace(TEXT, "text_encoder."): value for name, value in published.items()}

    same_prompts(converted, published, bare, tmp_path)


@pytest.mark.parametrize("pooling", ["eos", "bos", "mean"])
def test_pooling_is_the_configurations(
    converted: Convert, published: State, tmp_path: Path, pooling: str
) -> None:
    manifest = converted(published, configuration(model__text_encoder__pooling=pooling))

    assert manifest.text_encoder["pooling"] == pooling
    assert len(prompts_of(tmp_path / "bundle")) == 4


def test_projection_of_two_layers_is_that_of_its_description(
    converted: Convert, words: Path, tmp_path: Path
) -> None:
    state = pretraining_state(vocabulary_size(words), "mlp")
    manifest = converted(state, configuration(model__projection_head__name="mlp"))
    head = {
        name.removeprefix("image_projection."): value
        for name, value in state.items()
        if name.startswith("image_projection.")
    }

    features, embeddings = load_model(tmp_path / "bundle").embed(batch())

    x = torch.from_numpy(features)
    p = x @ head["projection.weight"].T + head["projection.bias"]
    erf = 0.5 * p * (1 + torch.erf(p / 2**0.5))
    y = erf @ head["fc.weight"].T + head["fc.bias"] + p
    y = (y - y.mean()) / (y.var(unbiased=False) + 1e-5).sqrt()
    y = y * head["layer_norm.weight"] + head["layer_norm.bias"]
    torch.testing.assert_close(torch.from_numpy(embeddings), functional.normalize(y, dim=-1))
    assert (manifest.projection, manifest.attribution) == ("mlp", "grad_cam")


def test_activation_through_two_layers_is_the_gradient(
    converted: Convert, words: Path, tmp_path: Path
) -> None:
    converted(
        pretraining_state(vocabulary_size(words), "mlp"),
        configuration(model__projection_head__name="mlp"),
    )

    (prediction,) = load_model(tmp_path / "bundle").predict(batch())

    assert prediction.activations["mass"].max() == 1


def test_model_without_temperature_scales_by_e(converted: Convert, published: State) -> None:
    config = configuration(model__temperature=None)
    state = {name: value for name, value in published.items() if name != "logit_scale"}

    assert converted(state, config).logit_scale == 1.0


def test_unknown_text_encoder_leaves_the_image_side(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    state = {
        name: value for name, value in published.items() if not name.startswith("text_encoder.")
    }
    state["text_encoder.blocks.1.mixer.weight"] = torch.zeros(6, 2)
    manifest = converted(state)

    features, embeddings = load_model(tmp_path / "bundle").embed(batch())

    assert features.shape == (1, 1280)
    assert embeddings.shape == (1, 32)
    assert (manifest.findings, dict(manifest.text_encoder)) == ((), {})
    assert "Mammo-FM" in manifest.licence
    assert manifest.left_out == ("text_encoder.blocks.1.mixer.weight",)
