"""Bundles of random weights for the inference benchmark, and the work in their encoders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammoclip_core.bundles.writing import write_bundle
from mammoclip_core.images.preprocessing import PUBLISHED_MEAN, PUBLISHED_STD
from mammoclip_core.lexicon import DEFAULT_FINDINGS
from mammoclip_core.manifest import UNRESTRICTED_USE, EncoderEntry, Manifest, Preprocessing
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.mammo_clip import MammoClip

_SEED = 5
_SIZE = 512


def preprocessing_of(rows: int, columns: int) -> Preprocessing:
    """Return the published preprocessing at some size."""
    return Preprocessing(
        mode="published", rows=rows, columns=columns, mean=PUBLISHED_MEAN, std=PUBLISHED_STD
    )


def make_bundle(
    folder: Path, architecture: str, images: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Write a bundle whose BatchNorm statistics are those of some images; return its prompts.

    Parameters
    ----------
    images : (B, rows, columns) float32
    """
    generator = torch.Generator().manual_seed(_SEED)
    model = MammoClip(ImageEncoder(architecture), None, _SIZE).eval()
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not name.endswith(("running_mean", "running_var")):
            _draw(value, name, generator)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    shown = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1)
    with torch.inference_mode():
        model.image_encoder(shown.contiguous(memory_format=torch.channels_last))
    prompts = {
        entry.name: nn.functional.normalize(
            torch.randn(len(entry.prompts), _SIZE, generator=generator), dim=1
        )
        for entry in DEFAULT_FINDINGS
    }
    manifest = Manifest(
        name=f"benchmark-{architecture}",
        version="0",
        weights_sha256="",
        licence="Apache-2.0",
        permitted_use=UNRESTRICTED_USE,
        trained_on="nothing: random weights",
        intended_use="benchmarks",
        encoders=(EncoderEntry(name="image", architecture=architecture, padding="published"),),
        projection_size=_SIZE,
        preprocessing=preprocessing_of(*images.shape[1:]),
        findings=DEFAULT_FINDINGS,
    )
    folder.mkdir()
    write_bundle(model.eval().state_dict(), manifest, prompts, None, folder)
    return {name: value.numpy() for name, value in prompts.items()}


def _draw(value: Tensor, name: str, generator: torch.Generator) -> None:
    """Draw one tensor: scaled by its fan-in; gains near 1, offsets near 0."""
    with torch.no_grad():
        drawn = torch.randn(value.shape, generator=generator)
        if value.ndim > 1:
            drawn *= math.sqrt((2 if value.ndim == 4 else 1) / math.prod(value.shape[1:]))
        else:
            drawn = 0.1 * drawn + name.endswith(".weight")
        value.copy_(drawn)


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one convolution on one image.

    Attributes
    ----------
    operations : multiplications and additions
    values : numbers read and written, weights too
    """

    operations: float
    values: float


def work_of(architecture: str, rows: int, columns: int) -> list[Work]:
    """Count the work of each convolution of an encoder, without computing anything."""
    layers: list[Work] = []

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        weight = module.get_parameter("weight")
        layers.append(
            Work(
                2.0 * output.numel() * weight[0].numel(),
                float(inputs[0].numel() + output.numel() + weight.numel()),
            )
        )

    with torch.device("meta"), torch.inference_mode():
        encoder = ImageEncoder(architecture).eval()
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        encoder(torch.empty(1, 3, rows, columns))
    return layers


def bound_seconds(
    layers: Sequence[Work], operations_a_second: float, bytes_a_second: float, size: int
) -> float:
    """Return the least seconds an image: each convolution as fast as arithmetic or memory allow.

    Parameters
    ----------
    size : bytes a number
    """
    return sum(
        max(layer.operations / operations_a_second, size * layer.values / bytes_a_second)
        for layer in layers
    )
