"""Trained Mammo-FActOR weights as a file for a converter, or in a bundle of their own."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mammoclip_core.bundle import check_weights, write_bundle
from mammoclip_core.errors import BundleError
from mammoclip_core.factor import FACTOR_PREFIX
from mammoclip_core.factor_file import read_factor
from mammoclip_core.manifest import (
    PROMPTS_NAME,
    TOKENIZER_FOLDER,
    WEIGHTS_NAME,
    Manifest,
    file_sha256,
    read_manifest,
    require_empty,
)


def write_factor(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as ``mammoclip-predict convert --factor`` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_suffix(".part")
    save_file(dict(tensors), making)
    making.replace(path)


def bundle_with_factor(bundle: Path, factor: Path, out: Path) -> Manifest:
    """Write a bundle that localises by the weights of a file, and is else as another one.

    Weights keep the precision that they have in the bundle and in the file. Former ones of
    Mammo-FActOR are replaced.

    Parameters
    ----------
    out : folder
        Must not exist, or be empty. It appears complete or not at all.

    Raises
    ------
    CheckpointError
        The weights are for another feature map, or for findings that the bundle does not have.
    BundleError
        The bundle is incomplete or altered, or the output folder is in use.
    """
    require_empty(out)
    manifest = read_manifest(bundle)
    entries, _ = read_factor(factor, manifest)
    try:
        check_weights(bundle / WEIGHTS_NAME, manifest)
        state = load_file(bundle / WEIGHTS_NAME)
        prompts = load_file(bundle / PROMPTS_NAME)
    except OSError as error:
        raise BundleError(f"{bundle} is incomplete: {error.strerror}: {error.filename}") from error
    except SafetensorError as error:
        raise BundleError(f"{bundle} holds damaged tensors: {error}") from error
    state = {name: value for name, value in state.items() if not name.startswith(FACTOR_PREFIX)}
    tokenizer = bundle / TOKENIZER_FOLDER
    out.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder = making / "bundle"
        folder.mkdir()
        written = write_bundle(
            state | load_file(factor),
            replace(
                manifest,
                factor=entries,
                sources={**manifest.sources, "factor": file_sha256(factor)},
            ),
            prompts,
            tokenizer if tokenizer.is_dir() else None,
            folder,
        )
        folder.replace(out)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return written
