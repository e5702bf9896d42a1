"""From a published checkpoint through the commands to the numbers of the official code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from reproducible_weights import (
    FIXTURES,
    textured_half_ellipse,
    write_checkpoint,
    write_classifier,
)
from torch import nn
from typer.testing import CliRunner

from mammoclip_core.commands.predict import app
from mammoclip_core.networks.image_encoder import FixedPaddingConv2d, ImageEncoder

TOLERANCE = 1e-4
"""Relative L2 error in float32: the order of additions differs between libraries."""

CPU_TOLERANCE = 5e-4
"""Of OpenVINO in float32, which adds up in yet another order."""

Arrays = dict[str, NDArray[Any]]

PADDING = {
    "b5": {
        "conv_stem": (0, 1),
        "blocks.1.0.conv_dw": (0, 1),
        "blocks.2.0.conv_dw": (1, 2),
        "blocks.3.0.conv_dw": (1, 1),
        "blocks.5.0.conv_dw": (2, 2),
    },
    "b2": {
        "conv_stem": (0, 1),
        "blocks.1.0.conv_dw": (0, 1),
        "blocks.2.0.conv_dw": (2, 2),
        "blocks.3.0.conv_dw": (1, 1),
        "blocks.5.0.conv_dw": (2, 2),
    },
}
"""Measured on the official code."""


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a checkpoint, two classifiers and the prepared image as PNG."""
    folder = tmp_path_factory.mktemp("published")
    write_checkpoint(folder)
    for outputs in (1, 4):
        write_classifier(folder / f"classifier-{outputs}.pth", outputs)
    Image.fromarray(textured_half_ellipse()).save(folder / "image.png")
    return folder


@pytest.fixture(scope="module")
def bundle(files: Path) -> Path:
    out = files / "bundle"
    heads = (
        f"cancer={files / 'classifier-1.pth'}",
        f"density={files / 'classifier-4.pth'}",
    )
    options = [part for head in heads for part in ("--head", head)]
    run(
        "convert",
        files / "checkpoint.tar",
        "--tokenizer",
        files / "tokenizer",
        "--out",
        out,
        *options,
    )
    return out


@pytest.fixture(scope="module")
def expected() -> Arrays:
    with np.load(FIXTURES / "efficientnet-b2-expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def embedded(bundle: Path, files: Path) -> Arrays:
    out = files / "embedded.npz"
    run("embed", files / "image.png", "--bundle", bundle, "--out", out)
    with np.load(out) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def texts(bundle: Path, files: Path, expected: Arrays) -> NDArray[np.float32]:
    out = files / "texts.npz"
    run("text", *expected["prompts"], "--bundle", bundle, "--out", out)
    with np.load(out) as arrays:
        assert arrays["texts"].tolist() == expected["prompts"].tolist()
        found: NDArray[np.float32] = arrays["embeddings"]
    return found


def error(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_embedded_features_are_the_official_ones(embedded: Arrays, expected: Arrays) -> None:
    assert embedded["features"].shape == (1, 1408)
    assert error(embedded["features"][0], expected["pooled"]) < TOLERANCE


def test_embedding_is_the_official_one(embedded: Arrays, expected: Arrays) -> None:
    assert embedded["embeddings"].shape == (1, 512)
    assert error(embedded["embeddings"][0], expected["image_embedding"]) < TOLERANCE


def test_cpu_engine_stays_within_its_own_tolerance(
    bundle: Path, files: Path, expected: Arrays
) -> None:
    out = files / "embedded-by-openvino.npz"
    run("embed", files / "image.png", "--bundle", bundle, "--out", out, "--engine", "openvino")

    with np.load(out) as arrays:
        assert error(arrays["features"][0], expected["pooled"]) < CPU_TOLERANCE
        assert error(arrays["embeddings"][0], expected["image_embedding"]) < TOLERANCE


def test_embedding_is_of_unit_length(embedded: Arrays) -> None:
    assert np.linalg.norm(embedded["embeddings"][0]) == pytest.approx(1, abs=1e-6)


def test_embedded_file_is_named(embedded: Arrays, files: Path) -> None:
    assert embedded["files"].tolist() == [str(files / "image.png")]


def test_text_embeddings_are_the_official_ones(
    texts: NDArray[np.float32], expected: Arrays
) -> None:
    assert error(texts, expected["text_embeddings"]) < TOLERANCE


def test_cosines_are_the_official_ones(
    texts: NDArray[np.float32], embedded: Arrays, expected: Arrays
) -> None:
    assert error(texts @ embedded["embeddings"][0], expected["cosine"]) < TOLERANCE


def test_heads_give_the_official_logits(bundle: Path, files: Path) -> None:
    out = files / "findings.json"
    run("image", files / "image.png", "--bundle", bundle, "--json-out", out)

    from mammoclip_core.findings_document import from_json

    (image,) = from_json(out.read_text()).images
    with np.load(FIXTURES / "detector-b2-expected.npz") as arrays:
        one, four = arrays["logits_1"][0], arrays["logits_4"]
    malignancy = next(item for item in image.findings if item.name == "malignancy")
    assert malignancy.score == pytest.approx(1 / (1 + np.exp(-one)), abs=1e-4)
    assert (malignancy.head, malignancy.encoder) == ("cancer", "cancer")
    shares = np.exp(four) / np.exp(four).sum()
    assert image.density_scores == pytest.approx(shares.tolist(), abs=1e-4)


@pytest.mark.parametrize("size", [(1520, 912), (380, 228), (333, 251)], ids=str)
@pytest.mark.parametrize("architecture", PADDING)
def test_padding_does_not_depend_on_the_input(architecture: str, size: tuple[int, int]) -> None:
    """Every strided layer against plain padding by the measured numbers, one channel at a time."""
    with torch.device("meta"):
        backbone = ImageEncoder(f"tf_efficientnet_{architecture}").backbone
    rows, columns = size
    layers = [
        (name, layer)
        for name, layer in backbone.named_modules()
        if isinstance(layer, FixedPaddingConv2d)
    ]
    assert [name for name, _ in layers] == list(PADDING[architecture])
    for name, layer in layers:
        before, after = PADDING[architecture][name]
        kernel = layer.kernel_size[0]
        plain = nn.Conv2d(1, 1, kernel, stride=2, bias=False)
        single = FixedPaddingConv2d(plain, layer.before, layer.after)
        single.weight.data.copy_(plain.weight.data)
        image = torch.randn(1, 1, rows, columns)

        with torch.inference_mode():
            found = single(image)
            wanted = plain(nn.functional.pad(image, (before, after, before, after)))

        torch.testing.assert_close(found, wanted, msg=f"{name} at {rows} x {columns}")
        rows, columns = found.shape[2:]
