"""The image encoder, and the whole model, against what the official code computed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reproducible_weights import FIXTURES, TEXT_CONFIG, textured_half_ellipse, write_checkpoint
from torch import Tensor, nn

from mammoclip_core.errors import BundleError
from mammoclip_core.networks.image_encoder import (
    NOMINAL_SIZES,
    FixedPaddingConv2d,
    ImageEncoder,
    pooled,
)
from mammoclip_core.networks.mammo_clip import MammoClip
from mammoclip_core.networks.text_encoder import TextEncoder, Tokenizer
from mammoclip_core.published.models import STAGE_SIZES, timm_keys

TOLERANCE = 1e-4
"""Relative L2 error in float32: the order of additions differs between libraries."""

PADDING = {
    "tf_efficientnet_b5": [(0, 1), (0, 1), (1, 2), (1, 1), (2, 2)],
    "tf_efficientnet_b2": [(0, 1), (0, 1), (2, 2), (1, 1), (2, 2)],
    "tf_efficientnet_b0": [(0, 1), (0, 1), (1, 2), (0, 1), (1, 2)],
}
"""Measured on the official code for B5 and B2; B0 is nominal 224, where all sizes are even."""


@pytest.fixture(scope="module")
def expected() -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / "efficientnet-b2-expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> MammoClip:
    state = torch.load(checkpoint / "checkpoint.tar", weights_only=True)["model"]
    prefix = "image_encoder."
    names = timm_keys(
        [key.removeprefix(prefix) for key in state if key.startswith(prefix)], "tf_efficientnet_b2"
    )
    renamed = {f"image_encoder.backbone.{new}": state[prefix + old] for old, new in names.items()}
    for key, value in state.items():
        if key.startswith("text_encoder.text_encoder.") and not key.endswith("position_ids"):
            renamed["text_encoder.bert." + key.removeprefix("text_encoder.text_encoder.")] = value
        elif "_projection." in key:
            renamed[key.replace("_projection.projection.", "_projection.")] = value
    renamed["logit_scale"] = state["logit_scale"]
    vocabulary_size = len((checkpoint / "tokenizer" / "vocab.txt").read_text().splitlines())
    config = {"vocab_size": vocabulary_size, **TEXT_CONFIG}
    model = MammoClip(ImageEncoder("tf_efficientnet_b2"), TextEncoder(config), 512)
    model.load_state_dict(renamed, strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def feature_map(model: MammoClip) -> Tensor:
    with torch.inference_mode():
        return model.image_encoder.feature_map(input_of(textured_half_ellipse()))


def input_of(grey: NDArray[np.uint8]) -> Tensor:
    x = torch.from_numpy(grey.astype(np.float32))
    x = x - x.min()
    x = (x / x.max() - 0.3089279) / 0.25053555408335154
    return x.expand(1, 3, *x.shape)


def error(found: Tensor, wanted: NDArray[Any]) -> float:
    difference = np.linalg.norm(found.numpy().squeeze() - wanted)
    return float(difference / np.linalg.norm(wanted))


def test_pooled_features_equal_the_official_ones(
    feature_map: Tensor, expected: dict[str, NDArray[Any]]
) -> None:
    assert error(pooled(feature_map), expected["pooled"]) < TOLERANCE


def test_feature_map_equals_the_official_one(
    feature_map: Tensor, expected: dict[str, NDArray[Any]]
) -> None:
    assert error(feature_map.mean(dim=1), expected["map_mean"]) < TOLERANCE
    assert error(feature_map[:, 7], expected["map_unit7"]) < TOLERANCE


def test_small_input_gives_the_official_features(
    model: MammoClip, expected: dict[str, NDArray[Any]]
) -> None:
    small = nn.functional.interpolate(input_of(textured_half_ellipse()), (380, 228), mode="area")

    with torch.inference_mode():
        features = model.image_encoder(small)

    assert error(features, expected["pooled_380"]) < TOLERANCE


def test_padding_for_the_real_input_gives_other_features(
    model: MammoClip, expected: dict[str, NDArray[Any]]
) -> None:
    dynamic = ImageEncoder("tf_efficientnet_b2", "dynamic").eval()
    dynamic.load_state_dict(model.image_encoder.state_dict())
    small = nn.functional.interpolate(input_of(textured_half_ellipse()), (380, 228), mode="area")

    with torch.inference_mode():
        features = dynamic(small)

    assert error(features, expected["pooled_380"]) > 0.1


def test_image_embedding_equals_the_official_one(
    model: MammoClip, feature_map: Tensor, expected: dict[str, NDArray[Any]]
) -> None:
    with torch.inference_mode():
        embedding = model.project_features(pooled(feature_map))

    assert error(embedding, expected["image_embedding"]) < TOLERANCE


def test_text_embeddings_equal_the_official_ones(
    model: MammoClip, checkpoint: Path, expected: dict[str, NDArray[Any]]
) -> None:
    tokenizer = Tokenizer(checkpoint / "tokenizer", do_lower_case=True)

    with torch.inference_mode():
        embeddings = model.encode_text(tokenizer([str(text) for text in expected["prompts"]]))

    assert error(embeddings, expected["text_embeddings"]) < TOLERANCE


@pytest.mark.parametrize("architecture", STAGE_SIZES)
def test_key_map_covers_the_architecture_exactly(architecture: str) -> None:
    with torch.device("meta"):
        names = set(ImageEncoder(architecture).backbone.state_dict())

    published = set(published_names(architecture))

    assert set(timm_keys(published, architecture).values()) == names
    assert len(published) == len(names)


def published_names(architecture: str) -> list[str]:
    statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["_conv_stem.weight", "_conv_head.weight"]
    names += [f"{norm}.{item}" for norm in ("_bn0", "_bn1") for item in statistics]
    first_stage = STAGE_SIZES[architecture][0]
    for block in range(sum(STAGE_SIZES[architecture])):
        has_expansion = block >= first_stage
        convolutions = ["_depthwise_conv", "_project_conv", *["_expand_conv"] * has_expansion]
        names += [f"_blocks.{block}.{layer}.weight" for layer in convolutions]
        for layer in ("_se_reduce", "_se_expand"):
            names += [f"_blocks.{block}.{layer}.{item}" for item in ("weight", "bias")]
        for norm in ("_bn1", "_bn2", *["_bn0"] * has_expansion):
            names += [f"_blocks.{block}.{norm}.{item}" for item in statistics]
    return names


def test_key_map_is_that_of_the_published_shapes() -> None:
    keys = json.loads((FIXTURES / "efficientnet-b2-shapes.json").read_text())

    assert set(keys) == set(published_names("tf_efficientnet_b2"))


@pytest.mark.parametrize("key", ["_fc.weight", "_blocks.99._bn1.weight", "_blocks.1._other.weight"])
def test_unknown_published_name_is_refused(key: str) -> None:
    with pytest.raises(KeyError):
        timm_keys([key], "tf_efficientnet_b2")


@pytest.mark.parametrize("architecture", PADDING)
def test_padding_is_that_of_the_published_table(architecture: str) -> None:
    with torch.device("meta"):
        backbone = ImageEncoder(architecture).backbone

    fixed = [item for item in backbone.modules() if isinstance(item, FixedPaddingConv2d)]

    assert [(item.before, item.after) for item in fixed] == PADDING[architecture]


@pytest.mark.parametrize("architecture", ["tf_efficientnet_b0"])
def test_padding_equals_the_dynamic_one_at_nominal_size(architecture: str) -> None:
    published = ImageEncoder(architecture).eval()
    dynamic = ImageEncoder(architecture, "dynamic").eval()
    dynamic.load_state_dict(published.state_dict())
    size = NOMINAL_SIZES[architecture]
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))

    with torch.inference_mode():
        torch.testing.assert_close(published(image), dynamic(image))


@pytest.mark.parametrize(("architecture", "first"), [("b5", 7.0), ("b2", 3.0), ("b0", 31.0)])
def test_first_cell_looks_where_a_chain_of_plain_convolutions_looks(
    architecture: str, first: float
) -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(f"tf_efficientnet_{architecture}")
    ramp = torch.arange(1000, dtype=torch.float64).repeat(1000, 1)[None, None]

    for kernel, before, after in encoder.layout.padding.values():
        padded = nn.functional.pad(ramp, (before, after, before, after))
        ramp = nn.functional.avg_pool2d(padded, kernel, stride=2)

    assert encoder.stride == 32
    cell = 10
    assert ramp[0, 0, cell, cell].item() == pytest.approx(encoder.first_centre + 32 * cell)
    assert encoder.first_centre == first


@pytest.mark.parametrize("padding", ["published", "dynamic"])
@pytest.mark.parametrize("size", [(190, 114), (256, 224), (97, 333)])
def test_size_of_the_map_is_told_before_it_is_computed(padding: str, size: tuple[int, int]) -> None:
    encoder = ImageEncoder("tf_efficientnet_b0", padding).eval()

    with torch.inference_mode():
        found = encoder.feature_map(torch.zeros(1, 3, *size)).shape[2:]

    assert encoder.map_size(*size) == tuple(found)


def test_published_input_makes_the_published_map() -> None:
    with torch.device("meta"):
        assert ImageEncoder("tf_efficientnet_b5").map_size(1520, 912) == (48, 29)


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(BundleError, match="resnet50"):
        ImageEncoder("resnet50")


def test_unknown_padding_is_refused() -> None:
    with pytest.raises(BundleError, match="same"):
        ImageEncoder("tf_efficientnet_b0", "same")
