"""A bundle with its weights: written once, verified and loaded into a model that predicts."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from mammoclip_core.analysis.engine import DEFAULT_BATCH_SIZE, DEFAULT_DECODE_THREADS, Engine
from mammoclip_core.bundles.tensors import (
    TEXT_PREFIXES,
    check_tensors,
    check_weights,
    declared,
    read_prompts,
    write_arrays,
)
from mammoclip_core.engines.options import ComputingOptions
from mammoclip_core.engines.torch_boxes import TorchBoxModel
from mammoclip_core.engines.torch_computing import TorchComputer
from mammoclip_core.engines.torch_model import TorchImageModel
from mammoclip_core.errors import BundleError
from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import (
    WEIGHTS_NAME,
    Manifest,
    read_manifest,
)
from mammoclip_core.networks.detector import Detector, detector_prefix
from mammoclip_core.networks.heads import FineTunedClassifier, head_prefix
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.mammo_clip import MammoClip
from mammoclip_core.networks.mammo_factor import (
    FactorWeights,
    factor_name,
    factor_shapes,
    factor_weights,
)


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
    return write_bundle(model.state_dict(), manifest, prompts, tokenizer_folder, folder)


def write_bundle(
    state: Mapping[str, Tensor],
    manifest: Manifest,
    prompts: Mapping[str, Tensor],
    tokenizer_folder: Path | None,
    folder: Path,
) -> Manifest:
    """Write a bundle as `save_bundle` does, from tensors that are already under its names."""
    return write_arrays(
        {name: value.detach().contiguous().numpy() for name, value in state.items()},
        manifest,
        {name: value.contiguous().numpy() for name, value in prompts.items()},
        tokenizer_folder,
        folder,
    )


def load_engine(
    bundle: Path,
    *,
    device: str = "cpu",
    decode_threads: int = DEFAULT_DECODE_THREADS,
    batch_size: int = DEFAULT_BATCH_SIZE,
    options: ComputingOptions | None = None,
) -> Engine:
    """Load a bundle for analysing studies; raises what `load_model` does."""
    model = load_model(bundle, device, options)
    return Engine(
        model,
        decode_threads=decode_threads,
        batch_size=batch_size,
        computed_by=model.computer.identity,
        boxes=load_detectors(bundle, model.manifest, model.computer),
    )


def load_detectors(
    bundle: Path, manifest: Manifest, computer: TorchComputer
) -> TorchBoxModel | None:
    """Load the detectors of a bundle whose weights were checked; None where it has none."""
    if not manifest.detectors:
        return None
    detectors = _empty_detectors(manifest)
    with safe_open(bundle / WEIGHTS_NAME, framework="pt") as tensors:
        for name, detector in detectors.items():
            state = {
                key: _full_precision(tensors.get_tensor(detector_prefix(name) + key))
                for key in detector.state_dict()
            }
            detector.load_state_dict(state, strict=True, assign=True)
    return TorchBoxModel(detectors, computer)


def load_model(
    bundle: Path, device: str = "cpu", options: ComputingOptions | None = None
) -> TorchImageModel:
    """Load the image side of a bundle, with the stored embeddings of its prompts.

    Parameters
    ----------
    device : as torch names it, for example ``cpu`` or ``cuda:0``

    Raises
    ------
    BundleError
        A file is missing or altered, or its tensors are not those of the manifest's model, or the
        machine has no such device.
    ComputingError
        The device cannot compute in the precision asked for.
    """
    computer = TorchComputer(device, options)
    manifest = read_manifest(bundle)
    weights = bundle / WEIGHTS_NAME
    with declared(bundle):
        check_weights(weights, manifest)
        model, heads, factor = _read_image_side(weights, manifest)
    prompts = {
        name: torch.from_numpy(value) for name, value in read_prompts(bundle, manifest).items()
    }
    return TorchImageModel(manifest, model, prompts, computer, heads=heads, factor=factor)


def _read_image_side(
    weights: Path, manifest: Manifest
) -> tuple[MammoClip, dict[str, FineTunedClassifier], dict[str, FactorWeights]]:
    with torch.device("meta"):
        model, heads = _empty_model(manifest)
    modules: dict[str, nn.Module] = {"": model}
    modules |= {head_prefix(name): head for name, head in heads.items()}
    expected = {
        prefix + name: tuple(value.shape)
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    }
    factor_expected = {
        factor_name(entry.finding, name): shape
        for entry in manifest.factor
        for name, shape in factor_shapes(entry.rows * entry.columns, entry.size).items()
    }
    expected |= factor_expected
    expected |= {
        detector_prefix(name) + key: tuple(value.shape)
        for name, detector in _empty_detectors(manifest).items()
        for key, value in detector.state_dict().items()
    }
    with safe_open(weights, framework="pt") as tensors:
        names = set(tensors.keys())
        if manifest.text_encoder:
            names = {name for name in names if not name.startswith(TEXT_PREFIXES)}
        shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
        check_tensors(expected, shapes, weights)
        for prefix, module in modules.items():
            state = {
                name: _full_precision(tensors.get_tensor(prefix + name))
                for name in module.state_dict()
            }
            module.load_state_dict(state, strict=True, assign=True)
        attributes = {
            name: _full_precision(tensors.get_tensor(name)).numpy() for name in factor_expected
        }
    factor = {entry.finding: factor_weights(attributes, entry.finding) for entry in manifest.factor}
    return model, heads, factor


def _empty_model(manifest: Manifest) -> tuple[MammoClip, dict[str, FineTunedClassifier]]:
    """Build the modules that a manifest names, without memory for their weights."""
    if not manifest.encoders:
        raise BundleError(f"bundle {manifest.name} names no image encoder")
    encoders = {entry.name: entry for entry in manifest.encoders}
    known = {head.name for head in manifest.heads if head.encoder in encoders}
    answering = {
        FindingSource.HEAD: known,
        FindingSource.DETECTOR: {entry.name for entry in manifest.detectors},
    }
    for entry in manifest.findings:
        answered = entry.source is FindingSource.PROMPT or entry.head in answering[entry.source]
        if not answered:
            raise BundleError(
                f"finding {entry.name}: the bundle has no {entry.source} {entry.head}"
            )
    first = manifest.encoders[0]
    model = MammoClip(
        ImageEncoder(first.architecture, first.padding),
        None,
        manifest.projection_size,
        manifest.logit_scale,
        manifest.projection,
    )
    size = model.image_encoder.map_size(manifest.preprocessing.rows, manifest.preprocessing.columns)
    for attribute in manifest.factor:
        if (attribute.rows, attribute.columns) != size:
            raise BundleError(
                f"Mammo-FActOR of {attribute.finding} is for {attribute.rows} x {attribute.columns}"
                f" cells, the input makes {size[0]} x {size[1]}"
            )
    heads = {
        head.name: FineTunedClassifier(
            ImageEncoder(encoders[head.encoder].architecture, encoders[head.encoder].padding),
            head.outputs,
        )
        for head in manifest.heads
        if head.encoder in encoders
    }
    return model, heads


def _empty_detectors(manifest: Manifest) -> dict[str, Detector]:
    with torch.device("meta"):
        return {entry.name: Detector(entry.architecture, 1) for entry in manifest.detectors}


def _full_precision(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
