"""A bundle with its weights: written once, verified and loaded into a model that predicts."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mammoclip_core.attribution import class_activation, on_input_grid, relative
from mammoclip_core.engine import DEFAULT_BATCH_SIZE, DEFAULT_DECODE_THREADS, Engine
from mammoclip_core.errors import BundleError
from mammoclip_core.findings import FindingSource, LocalisationMethod
from mammoclip_core.image_encoder import ImageEncoder
from mammoclip_core.manifest import (
    PROMPTS_NAME,
    TOKENIZER_FOLDER,
    WEIGHTS_NAME,
    Manifest,
    file_sha256,
    read_manifest,
    write_manifest,
)
from mammoclip_core.model import MammoClip
from mammoclip_core.prediction import ImageModel, Prediction

PROMPTS_SHA256: Final = "prompts_sha256"
"""Entry of the weights' header: the prompts' digest is thus covered by the weights' own."""

_TEXT_PREFIXES: Final = ("text_encoder.", "text_projection.")
_NAMED_AT_MOST: Final = 5


def save_bundle(
    model: MammoClip,
    manifest: Manifest,
    prompts: Mapping[str, Tensor],
    tokenizer_folder: Path | None,
    folder: Path,
) -> Manifest:
    """Write a bundle into an existing empty folder, the manifest last.

    Parameters
    ----------
    manifest : Manifest
        Its `weights_sha256` is replaced.
    prompts : (P, D) embeddings of L2 norm 1 by finding
        One row a prompt, in the manifest's order.

    Returns
    -------
    Manifest
        As written, with the digest of the weights.
    """
    if tokenizer_folder is not None:
        shutil.copytree(tokenizer_folder, folder / TOKENIZER_FOLDER)
    save_file({name: value.contiguous() for name, value in prompts.items()}, folder / PROMPTS_NAME)
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    digest = file_sha256(folder / PROMPTS_NAME)
    save_file(state, folder / WEIGHTS_NAME, metadata={PROMPTS_SHA256: digest})
    written = replace(manifest, weights_sha256=file_sha256(folder / WEIGHTS_NAME))
    write_manifest(written, folder)
    return written


def load_engine(
    bundle: Path,
    *,
    device: str = "cpu",
    decode_threads: int = DEFAULT_DECODE_THREADS,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> Engine:
    """Load a bundle for analysing studies; raises BundleError as `load_model` does."""
    model = load_model(bundle, device)
    return Engine(model, decode_threads=decode_threads, batch_size=batch_size)


def load_model(bundle: Path, device: str = "cpu") -> ImageModel:
    """Load the image side of a bundle, with the stored embeddings of its prompts.

    Parameters
    ----------
    device : as torch names it, for example ``cpu`` or ``cuda:0``

    Raises
    ------
    BundleError
        A file is missing or altered, or its tensors are not those of the manifest's model.
    """
    manifest = read_manifest(bundle)
    unknown = [entry.name for entry in manifest.findings if entry.source != FindingSource.PROMPT]
    if unknown:
        raise BundleError(f"findings without prompts are not supported yet: {_listed(unknown)}")
    weights = bundle / WEIGHTS_NAME
    try:
        if file_sha256(weights) != manifest.weights_sha256:
            raise BundleError(
                f"{weights} is altered or incomplete: its digest is not bundle.json's"
            )
        model = _read_image_side(weights, manifest)
        prompts = _read_prompts(bundle, manifest)
    except OSError as error:
        raise BundleError(f"{bundle} is incomplete: {error.strerror}: {error.filename}") from error
    except SafetensorError as error:
        raise BundleError(f"{bundle} holds damaged tensors: {error}") from error
    return TorchImageModel(manifest, model, prompts, _device_named(device))


class TorchImageModel:
    """The exact engine: torch in float32, channels last.

    Parameters
    ----------
    prompts : (P, D) embeddings by finding
    """

    def __init__(
        self,
        manifest: Manifest,
        model: MammoClip,
        prompts: Mapping[str, Tensor],
        device: torch.device,
    ) -> None:
        self._manifest = manifest
        self._device = device
        self._model = model.eval().to(device).to(memory_format=torch.channels_last)
        self._prompts = {name: value.to(device) for name, value in prompts.items()}
        projection = self._model.image_projection.weight.detach()
        self._channel_weights = {
            entry.name: _numpy(
                (self._prompts[entry.name][1] - self._prompts[entry.name][0]) @ projection
            )
            for entry in manifest.findings
            if not entry.is_class_set and manifest.attribution != LocalisationMethod.NONE
        }

    @property
    def manifest(self) -> Manifest:
        """Return what the bundle says of itself."""
        return self._manifest

    @torch.inference_mode()
    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        """Answer for each image of a (B, 3, H, W) batch, in order."""
        images = torch.from_numpy(batch).to(self._device, memory_format=torch.channels_last)
        embeddings, feature_maps = self._model.embed_map(images)
        cosines = {
            name: _numpy(self._model.similarity(embeddings, prompts)).astype(np.float64)
            for name, prompts in self._prompts.items()
        }
        size = (batch.shape[2], batch.shape[3])
        return [
            self._prediction({name: rows[index] for name, rows in cosines.items()}, maps, size)
            for index, maps in enumerate(_numpy(feature_maps))
        ]

    def _prediction(
        self,
        cosines: Mapping[str, NDArray[np.float64]],
        feature_map: NDArray[np.float32],
        size: tuple[int, int],
    ) -> Prediction:
        shares = {name: softmax(values) for name, values in cosines.items()}
        pairs = [entry.name for entry in self._manifest.findings if not entry.is_class_set]
        class_sets = [entry.name for entry in self._manifest.findings if entry.is_class_set]
        return Prediction(
            scores={name: float(shares[name][1]) for name in pairs},
            density_scores=tuple(map(float, shares[class_sets[0]])) if class_sets else (),
            activations={
                name: self._activation(feature_map, weights, size)
                for name, weights in self._channel_weights.items()
            },
        )

    def _activation(
        self,
        feature_map: NDArray[np.float32],
        weights: NDArray[np.float32],
        size: tuple[int, int],
    ) -> NDArray[np.float32]:
        encoder = self._model.image_encoder
        values = class_activation(feature_map, weights)
        return relative(on_input_grid(values, encoder.stride, encoder.first_centre, size))


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share 1 among similarities, without any temperature, as published."""
    exponentials = np.exp(values - values.max())
    shares: NDArray[np.float64] = exponentials / exponentials.sum()
    return shares


def _read_image_side(weights: Path, manifest: Manifest) -> MammoClip:
    entry = manifest.encoders[0] if manifest.encoders else None
    if entry is None:
        raise BundleError(f"bundle {manifest.name} names no image encoder")
    with torch.device("meta"):
        encoder = ImageEncoder(entry.architecture, entry.padding)
        model = MammoClip(encoder, None, manifest.projection_size, manifest.logit_scale)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    with safe_open(weights, framework="pt") as tensors:
        names = set(tensors.keys())
        if manifest.text_encoder:
            names = {name for name in names if not name.startswith(_TEXT_PREFIXES)}
        shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
        _check_tensors(expected, shapes, weights)
        state = {name: _full_precision(tensors.get_tensor(name)) for name in names}
    model.load_state_dict(state, strict=True, assign=True)
    model.requires_grad_(requires_grad=False)
    return model


def _check_tensors(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], weights: Path
) -> None:
    complaints = {
        "missing": expected.keys() - found.keys(),
        "unknown": found.keys() - expected.keys(),
        "of another shape": {
            name for name in expected.keys() & found.keys() if expected[name] != found[name]
        },
    }
    text = "; ".join(f"{word}: {_listed(names)}" for word, names in complaints.items() if names)
    if text:
        raise BundleError(f"{weights} is not the manifest's model: tensors {text}")


def _read_prompts(bundle: Path, manifest: Manifest) -> dict[str, Tensor]:
    path = bundle / PROMPTS_NAME
    with safe_open(bundle / WEIGHTS_NAME, framework="pt") as tensors:
        header: dict[str, Any] = tensors.metadata() or {}
    if header.get(PROMPTS_SHA256) != file_sha256(path):
        raise BundleError(f"{path} is altered or incomplete: its digest is not the weights'")
    prompts = {name: value.float() for name, value in load_file(path).items()}
    _check_tensors(
        {entry.name: (len(entry.prompts), manifest.projection_size) for entry in manifest.findings},
        {name: tuple(value.shape) for name, value in prompts.items()},
        path,
    )
    return prompts


def _device_named(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BundleError(f"device {name!r} is not usable on this machine, cpu is") from error
    return device


def _full_precision(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.cpu().contiguous().numpy()


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMED_AT_MOST
    return ", ".join(ordered[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
