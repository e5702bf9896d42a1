"""Seeded random weights under which activations neither vanish nor agree for all images."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from mammoclip_core.drawn_weights import drawn_weight, frozen_generator
from mammoclip_core.image_encoder import ImageEncoder
from mammoclip_core.manifest import Manifest, Preprocessing
from mammoclip_core.model import MammoClip
from mammoclip_core.text_encoder import TextEncoder, Tokenizer

_CALIBRATION_IMAGES: Final = 4
_NOT_DRAWN: Final = ("running_mean", "running_var", "logit_scale")
_PROMPT_STEPS: Final = 2.0**16


def random_model(
    manifest: Manifest, tokenizer: Tokenizer, seed: int
) -> tuple[MammoClip, dict[str, Tensor]]:
    """Build a manifest's model in float16, with the embeddings of its findings' prompts.

    All is computed in float64 and then rounded to float16, so that the result does not depend on
    the order in which a library adds.
    """
    with _one_thread():
        return _calibrated_model(manifest, tokenizer, seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: on a busy machine several wait for each other, twenty times longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _calibrated_model(
    manifest: Manifest, tokenizer: Tokenizer, seed: int
) -> tuple[MammoClip, dict[str, Tensor]]:
    encoder = manifest.encoders[0]
    text = manifest.text_encoder
    model = MammoClip(
        ImageEncoder(encoder.architecture, encoder.padding),
        TextEncoder(text["config"], text["pooling"]),
        manifest.projection_size,
        manifest.logit_scale,
    ).double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and not name.endswith(_NOT_DRAWN):
                value.copy_(torch.from_numpy(drawn_weight(name, tuple(value.shape), seed)))
        _calibrate(model, _phantoms(manifest.preprocessing, seed))
        model.eval()
        prompts = {
            entry.name: _rounded(model.encode_text(tokenizer(entry.prompts)))
            for entry in manifest.findings
        }
    return model.half(), prompts


def _calibrate(model: MammoClip, images: Tensor) -> None:
    """Set the BatchNorm statistics and the image projection's offset by some images."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            module.train()
    model.image_encoder(images)
    model.eval()
    for name, value in model.image_encoder.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(value.half())
        elif name.endswith("num_batches_tracked"):
            value.fill_(1)
    # Random features are much alike for all images: without their common part the embeddings
    # spread, and so do the scores.
    projection = model.image_projection
    if isinstance(projection, nn.Linear):
        centre = model.image_encoder(images).mean(dim=0)
        projection.bias.copy_(-(projection.weight @ centre).half())


def _phantoms(preprocessing: Preprocessing, seed: int) -> Tensor:
    """Draw half ellipses with texture at several scales, normalised as images are."""
    rows, columns = preprocessing.rows, preprocessing.columns
    row, column = np.mgrid[0:rows, 0:columns] / np.array([rows, columns])[:, None, None]
    images = []
    for number in range(_CALIBRATION_IMAGES):
        generator = frozen_generator(f"phantom {number}", seed)
        across = 1 - column if number % 2 else column
        base = np.clip(1 - across**2 - (2 * row - 1) ** 2, 0, 1) ** 0.5
        texture = sum(
            np.kron(
                generator.standard_normal((rows // scale + 1, columns // scale + 1)),
                np.ones((scale, scale)),
            )[:rows, :columns]
            for scale in (4, 8, 16, 32)
        )
        image = np.clip(base * (0.5 + 0.1 * texture), 0, 1)
        images.append((image / image.max() - preprocessing.mean) / preprocessing.std)
    return torch.from_numpy(np.stack(images))[:, None].repeat(1, 3, 1, 1)


def _rounded(embeddings: Tensor) -> Tensor:
    return ((embeddings * _PROMPT_STEPS).round() / _PROMPT_STEPS).float()
