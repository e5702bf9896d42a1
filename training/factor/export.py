"""Trained Mammo-FActOR weights as a file for a converter, or in a bundle of their own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import Manifest, read_manifest
from mammoclip_core.networks.mammo_factor import DEFAULT_TOP_CHANNELS, FACTOR_PREFIX
from mammoclip_core.published.factor_file import read_factor
from training.bundles.bundle_copy import copy_bundle
from training.learning.finite import require_finite
from training.whole_file import whole_file


def write_factor(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as ``mammoclip-predict convert --factor`` reads them."""
    require_finite(tensors, str(path))
    with whole_file(path) as stream:
        stream.write(save(dict(tensors)))


def bundle_with_factor(
    bundle: Path, factor: Path, out: Path, *, top_channels: int = DEFAULT_TOP_CHANNELS
) -> Manifest:
    """Write a bundle that localises by the weights of a file, and is else as another one.

    Weights keep the precision that they have in the bundle and in the file. Former ones of
    Mammo-FActOR are replaced.

    Parameters
    ----------
    top_channels : channels whose maps make a heatmap

    Raises
    ------
    CheckpointError
        The weights are for another feature map, or for findings that the bundle does not have.
    BundleError
        The bundle is incomplete or altered, or the output folder is in use.
    """
    manifest = read_manifest(bundle)
    entries, _ = read_factor(factor, manifest)
    sources = {**manifest.sources, "factor": file_sha256(factor)}
    entries = tuple(replace(entry, top_channels=top_channels) for entry in entries)
    return copy_bundle(
        bundle,
        out,
        replace(manifest, factor=entries, sources=sources),
        load_file(factor),
        without=(FACTOR_PREFIX,),
    )
