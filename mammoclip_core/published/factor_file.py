"""Mammo-FActOR weights as training leaves them, checked against the bundle they join."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mammoclip_core.bundles.tensor_names import listed, tensor_differences
from mammoclip_core.errors import CheckpointError
from mammoclip_core.manifest import FactorEntry, Manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.mammo_factor import FACTOR_PREFIX, factor_name, factor_shapes


def read_factor(
    path: Path, manifest: Manifest
) -> tuple[tuple[FactorEntry, ...], dict[str, Tensor]]:
    """Read the weights of some findings from a safetensors file.

    Raises
    ------
    CheckpointError
        The file is damaged, its tensors are not those of a feature map of the bundle's input, or
        the bundle has no finding of a name in it.
    """
    try:
        tensors = {name: value.float() for name, value in load_file(path).items()}
    except SafetensorError as error:
        raise CheckpointError(f"{path.name} is not a safetensors file: {error}") from error
    names = {
        name.removeprefix(FACTOR_PREFIX).rpartition(".")[0]
        for name in tensors
        if name.startswith(FACTOR_PREFIX)
    }
    known = [entry.name for entry in manifest.findings if entry.name in names]
    if not known or names - set(known):
        unknown = listed(names - set(known)) or "none"
        raise CheckpointError(f"{path.name}: findings that the bundle lacks: {unknown}")
    rows, columns = _map_size(manifest)
    sizes = {
        name: tensors.get(factor_name(name, "attribute"), torch.zeros(0)).numel() for name in known
    }
    expected = {
        factor_name(name, tensor): shape
        for name in known
        for tensor, shape in factor_shapes(rows * columns, sizes[name]).items()
    }
    differences = tensor_differences(
        expected, {name: tuple(value.shape) for name, value in tensors.items()}
    )
    if differences:
        raise CheckpointError(f"{path.name} holds other weights: tensors {differences}")
    infinite = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if infinite:
        raise CheckpointError(f"{path.name}: tensors that are not finite: {listed(infinite)}")
    entries = tuple(
        FactorEntry(finding=name, rows=rows, columns=columns, size=sizes[name]) for name in known
    )
    return entries, tensors


def _map_size(manifest: Manifest) -> tuple[int, int]:
    first = manifest.encoders[0]
    with torch.device("meta"):
        encoder = ImageEncoder(first.architecture, first.padding)
    return encoder.map_size(manifest.preprocessing.rows, manifest.preprocessing.columns)
