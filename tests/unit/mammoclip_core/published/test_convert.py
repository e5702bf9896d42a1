"""Every published layout into a bundle, and one broken file for each rule."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_factory import (
    ARCHITECTURE,
    TEXT,
    State,
    bert_state,
    classifier_state,
    configuration,
    encoder_state,
    pretraining_state,
    projections,
    tokenizer,
    vocabulary_size,
    write_classifier,
    write_pretraining,
)
from core_factory import breast
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn import functional

from mammoclip_core.bundles.tensors import head_prefix
from mammoclip_core.engines.choice import load_model
from mammoclip_core.errors import BundleError, CheckpointError
from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import Manifest, file_sha256, read_manifest
from mammoclip_core.networks.heads import FineTunedClassifier, finding_of_head
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.published.checkpoint_layout import (
    check_named_encoder,
    encoder_plan,
    recognise_architecture,
)
from mammoclip_core.published.convert import convert
from mammoclip_core.published.models import STAGE_SIZES

SIZE = (190, 114)
Convert = Callable[..., Manifest]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenizer(tmp_path_factory.mktemp("words") / "tokenizer")


@pytest.fixture(scope="module")
def published(words: Path) -> State:
    return pretraining_state(vocabulary_size(words))


@pytest.fixture
def converted(tmp_path: Path, words: Path) -> Convert:
    """Write a state as a checkpoint and convert it to ``bundle`` in the test's folder."""

    def run(state: State, config: Any = None, **options: Any) -> Manifest:
        checkpoint = write_pretraining(tmp_path / "checkpoint.tar", state, config)
        return convert(checkpoint, str(words), tmp_path / "bundle", **options)

    return run


def batch() -> NDArray[np.float32]:
    grey = breast(*SIZE).astype(np.float32)
    grey = (grey / grey.max() - np.float32(0.3089279)) / np.float32(0.25053555)
    return np.repeat(grey[np.newaxis, np.newaxis], 3, axis=1)


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


@pytest.mark.parametrize("numpy_1", [True, False])
@pytest.mark.parametrize("bare", [True, False])
def test_head_is_preferred_to_prompts(
    converted: Convert, published: State, tmp_path: Path, bare: bool, numpy_1: bool
) -> None:
    state = classifier_state(bare=bare)
    path = write_classifier(tmp_path / "cancer.pth", state, numpy_1=numpy_1)

    manifest = converted(published, heads={"cancer": path})

    (prediction,) = load_model(tmp_path / "bundle").predict(batch())
    prefix = head_prefix("cancer")
    head = FineTunedClassifier(ImageEncoder("tf_efficientnet_b0"), 1).eval()
    head.load_state_dict(
        {
            name.removeprefix(prefix): value
            for name, value in load_file(tmp_path / "bundle" / "model.safetensors").items()
            if name.startswith(prefix)
        }
    )
    with torch.inference_mode():
        expected = torch.sigmoid(head(torch.from_numpy(batch()))).item()
    assert prediction.scores["malignancy"] == pytest.approx(expected, abs=1e-6)
    entry = manifest.finding("malignancy")
    assert (entry.source, entry.head) == (FindingSource.HEAD, "cancer")
    assert (entry.aggregation, manifest.finding("mass").aggregation) == ("mean", "max")
    assert manifest.encoder_of(entry) == "cancer"
    assert manifest.encoder_of(manifest.finding("mass")) == "image"


def test_head_of_four_classes_answers_density(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    path = write_classifier(tmp_path / "density.pth", classifier_state(4))

    converted(published, heads={"density": path})

    (prediction,) = load_model(tmp_path / "bundle").predict(batch())
    assert len(prediction.density_scores) == 4
    assert sum(prediction.density_scores) == pytest.approx(1)


def test_bundle_without_texts_answers_by_its_heads(converted: Convert, tmp_path: Path) -> None:
    path = write_classifier(tmp_path / "mass.pth", classifier_state())
    state = {**encoder_state(), **projections(), "logit_scale": torch.tensor(1.0)}
    state = {name: value for name, value in state.items() if not name.startswith("text_")}

    converted(state, heads={"mass": path})

    (prediction,) = load_model(tmp_path / "bundle").predict(batch())
    assert set(prediction.scores) == {"mass"}


@pytest.mark.parametrize(
    ("name", "outputs", "complaint"),
    [("mass", 4, "needs 1 outputs"), ("density", 1, "needs 4"), ("other", 1, "'other' is none")],
)
def test_head_of_another_kind_is_refused(name: str, outputs: int, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        finding_of_head(name, outputs)


def test_two_heads_of_one_finding_are_refused(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    path = write_classifier(tmp_path / "head.pth", classifier_state())

    with pytest.raises(CheckpointError, match="same finding: malignancy"):
        converted(published, heads={"cancer": path, "malignancy": path})


def test_classifier_in_the_place_of_a_model_is_told_where_it_belongs(converted: Convert) -> None:
    with pytest.raises(CheckpointError, match="--head"):
        converted(classifier_state())


def test_model_in_the_place_of_a_classifier_is_refused(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    path = write_classifier(tmp_path / "head.pth", bert_state(90))

    with pytest.raises(CheckpointError, match="no fine-tuned classifier"):
        converted(published, heads={"mass": path})
