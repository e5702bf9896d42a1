"""Encoders as torch computes them for a site: folded, in its numbers, within its memory."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammoclip_core.engines.choice import load_model
from mammoclip_core.engines.computing_options import ComputingOptions, Precision
from mammoclip_core.engines.torch_computing import TorchComputer, fold_batch_norms
from mammoclip_core.engines.torch_library import TorchLibrary
from mammoclip_core.errors import BatchMemoryError, ComputingError
from mammoclip_core.networks.efficientnet import EfficientNet
from mammoclip_core.networks.image_encoder import ImageEncoder

ROUNDING = 1e-5


@pytest.fixture(scope="module", params=["published", "dynamic"])
def encoder(request: pytest.FixtureRequest) -> ImageEncoder:
    """Build an encoder whose statistics are not the trivial ones."""
    torch.manual_seed(0)
    encoder = ImageEncoder("tf_efficientnet_b0", request.param).eval()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return encoder.requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((3, 3, 190, 114)).astype(np.float32)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_folded_encoder_gives_the_same_map(
    encoder: ImageEncoder, images: NDArray[np.float32]
) -> None:
    folded = deepcopy(encoder)
    fold_batch_norms(folded)

    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    shown = torch.from_numpy(images)
    assert error(folded.feature_map(shown), encoder.feature_map(shown)) < ROUNDING


def test_folded_encoder_gives_the_same_taps(
    encoder: ImageEncoder, images: NDArray[np.float32]
) -> None:
    folded = deepcopy(encoder)
    fold_batch_norms(folded)
    fold_batch_norms(folded)

    shown = torch.from_numpy(images)
    for found, wanted in zip(folded.taps(shown), encoder.taps(shown), strict=True):
        assert error(found, wanted) < ROUNDING


@pytest.mark.parametrize(
    ("precision", "tolerance"), [(Precision.EXACT, ROUNDING), (Precision.BFLOAT16, 0.1)]
)
def test_map_is_float32_and_as_close_as_the_precision(
    encoder: ImageEncoder, images: NDArray[np.float32], precision: Precision, tolerance: float
) -> None:
    computer = TorchComputer("cpu", ComputingOptions(precision=precision))
    ready = computer.ready(deepcopy(encoder))

    with computer.computing():
        found = computer.feature_map(ready, computer.images(images))

    wanted = encoder.feature_map(torch.from_numpy(images))
    assert found.dtype is torch.float32
    assert error(found, wanted) < tolerance
    assert (error(found, wanted) > ROUNDING) is (precision is Precision.BFLOAT16)


def test_channels_that_share_memory_are_shown_like_others(images: NDArray[np.float32]) -> None:
    computer = TorchComputer()
    grey = images[:, :1]
    shared = np.broadcast_to(grey, (3, 3, *grey.shape[2:]))

    assert torch.equal(computer.images(shared), torch.from_numpy(shared.copy()))


def test_float16_is_refused_on_a_cpu() -> None:
    with pytest.raises(ComputingError, match="float16 is for GPUs"):
        TorchComputer("cpu", ComputingOptions(precision=Precision.FLOAT16))


@pytest.mark.parametrize("size", [10**15, 2**62], ids=["too much", "absurd"])
def test_shortage_of_memory_is_a_declared_error(size: int) -> None:
    with pytest.raises(BatchMemoryError, match="cpu"), TorchComputer().computing():
        torch.empty(size, dtype=torch.uint8)


def test_shortage_of_memory_in_numpy_is_one_too() -> None:
    with pytest.raises(BatchMemoryError), TorchComputer().computing():
        np.empty(10**15, np.uint8)


def test_other_errors_of_torch_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), TorchComputer().computing():
        torch.zeros(2).reshape(3)


def test_answer_that_is_no_number_is_a_declared_error(random_bundle: Path) -> None:
    model = load_model(random_bundle)
    batch = np.full((1, 3, 380, 228), np.inf, np.float32)

    with pytest.raises(ComputingError, match="no finite number"):
        model.predict(batch)


@pytest.fixture
def repeatable() -> Iterator[ComputingOptions]:
    yield ComputingOptions(is_deterministic=True)
    torch.use_deterministic_algorithms(mode=False)


def test_deterministic_model_repeats_itself_to_the_bit(
    random_bundle: Path, repeatable: ComputingOptions
) -> None:
    batch = np.random.default_rng(1).standard_normal((2, 3, 380, 228)).astype(np.float32)

    first, second = (load_model(random_bundle, options=repeatable).embed(batch) for _ in range(2))

    assert torch.are_deterministic_algorithms_enabled()
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_encoders_of_a_bundle_share_the_images_on_the_device(
    images: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[int] = []
    bring = TorchComputer.images

    def counted(computer: TorchComputer, batch: NDArray[np.float32]) -> Tensor:
        brought.append(len(batch))
        return bring(computer, batch)

    monkeypatch.setattr(TorchComputer, "images", counted)
    network = EfficientNet("tf_efficientnet_b0")
    tensors = {name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()}
    library = TorchLibrary()
    encoders = [library.encoder(network, tensors, "", (190, 114)) for _ in range(2)]

    for batch in (images, images[:2]):
        with library.computing():
            maps = [encoder.feature_maps(batch) for encoder in encoders]
        assert np.array_equal(*maps)

    assert brought == [3, 2]


def test_images_that_changed_since_the_last_batch_are_brought_anew(random_bundle: Path) -> None:
    model = load_model(random_bundle)
    batch = np.random.default_rng(2).standard_normal((1, 3, 380, 228)).astype(np.float32)

    before = model.embed(batch)[0]
    batch *= 2
    after = model.embed(batch)[0]

    assert not np.allclose(before, after)
