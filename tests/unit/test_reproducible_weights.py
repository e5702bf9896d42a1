"""The weights that the official code's numbers hold for are drawn to the bit."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from reproducible_weights import (
    classifier_state,
    detector_state,
    encoder_state,
    textured_half_ellipse,
    write_checkpoint,
)
from torch import Tensor


def digest(state: dict[str, Tensor]) -> str:
    """Return a digest of all names, types and values, in their order."""
    found = hashlib.sha256()
    for name, value in state.items():
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (encoder_state, "d780b896f430373f"),
        (lambda: detector_state(1), "d80f65acc130e323"),
        (lambda: detector_state(2), "154d318c534cf53f"),
        (lambda: classifier_state(1), "1dd42c75f70c46fa"),
        (lambda: classifier_state(4), "c83d3c51829996be"),
    ],
    ids=["encoder", "detector", "two classes", "classifier", "density"],
)
def test_weights_are_drawn_to_the_bit(draw: Callable[[], dict[str, Tensor]], expected: str) -> None:
    assert digest(draw()) == expected


def test_checkpoint_is_written_to_the_bit(tmp_path: Path) -> None:
    checkpoint = torch.load(write_checkpoint(tmp_path), weights_only=True)

    assert digest(checkpoint["model"]) == "d71f9691b791415a"


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1520, 912), "178f14170a561987"), ((512, 512), "ec9cb641f7b179f8")],
    ids=str,
)
def test_image_is_drawn_to_the_bit(size: tuple[int, int], expected: str) -> None:
    image = textured_half_ellipse(*size)

    assert image.shape == size
    assert hashlib.sha256(image.tobytes()).hexdigest()[:16] == expected
