"""A bundle written: weights, prompts and tokenizer first, the manifest with their digest last."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from mammoclip_core.bundles.folder_copy import copy_folder
from mammoclip_core.bundles.tensor_names import listed
from mammoclip_core.bundles.tensors import PROMPTS_SHA256
from mammoclip_core.errors import BundleError
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import (
    PROMPTS_NAME,
    TOKENIZER_FOLDER,
    WEIGHTS_NAME,
    Manifest,
    write_manifest,
)

if TYPE_CHECKING:
    from torch import Tensor


def write_arrays(
    tensors: Mapping[str, NDArray[Any]],
    manifest: Manifest,
    prompts: Mapping[str, NDArray[Any]],
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
    tokenizer_folder : folder or None
        Copied whole; None for a bundle without a text encoder.

    Returns
    -------
    Manifest
        As written, with the digest of the weights.

    Raises
    ------
    BundleError
        A value is not finite, and nothing is written, or the disk does not take a file.
    """
    _require_finite({**tensors, **prompts})
    if tokenizer_folder is not None:
        copy_folder(tokenizer_folder, folder / TOKENIZER_FOLDER)
    _save(prompts, folder / PROMPTS_NAME, None)
    digest = file_sha256(folder / PROMPTS_NAME)
    _save(tensors, folder / WEIGHTS_NAME, {PROMPTS_SHA256: digest})
    written = replace(manifest, weights_sha256=file_sha256(folder / WEIGHTS_NAME))
    write_manifest(written, folder)
    return written


def write_bundle(
    state: "Mapping[str, Tensor]",
    manifest: Manifest,
    prompts: "Mapping[str, Tensor]",
    tokenizer_folder: Path | None,
    folder: Path,
) -> Manifest:
    """Write a bundle as `write_arrays` does, from torch's tensors on a CPU."""
    return write_arrays(
        {name: value.detach().contiguous().numpy() for name, value in state.items()},
        manifest,
        {name: value.contiguous().numpy() for name, value in prompts.items()},
        tokenizer_folder,
        folder,
    )


def _save(tensors: Mapping[str, NDArray[Any]], path: Path, metadata: dict[str, str] | None) -> None:
    try:
        save_file(dict(tensors), path, metadata)
    except SafetensorError as error:  # the library's word for a full disk
        raise BundleError(f"{path} cannot be written: {error}") from error


def _require_finite(tensors: Mapping[str, NDArray[Any]]) -> None:
    bad = [
        name
        for name, value in tensors.items()
        if value.dtype.kind == "f" and not np.isfinite(value).all()
    ]
    if bad:
        raise BundleError(
            f"no bundle is written: values of {listed(bad, 3)} are not finite, "
            "its answers would be none"
        )
