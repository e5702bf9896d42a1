"""A bundle made from another one, with further tensors and what its manifest says of them."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from mammoclip_core.bundle import check_weights, write_bundle
from mammoclip_core.bundle_tensors import declared
from mammoclip_core.manifest import (
    PROMPTS_NAME,
    TOKENIZER_FOLDER,
    WEIGHTS_NAME,
    Manifest,
    read_manifest,
    require_empty,
)


def copy_bundle(
    bundle: Path,
    out: Path,
    manifest: Manifest,
    tensors: Mapping[str, Tensor],
    *,
    without: str | None = None,
) -> Manifest:
    """Write a bundle with its own tensors, all in the precision they have, and further ones.

    Parameters
    ----------
    out : folder
        Must not exist, or be empty. It appears complete or not at all.
    manifest : of the new bundle
    without : begin of names of tensors that are left behind

    Raises
    ------
    BundleError
        The bundle is incomplete or altered, or the output folder is in use.
    """
    require_empty(out)
    with declared(bundle):
        check_weights(bundle / WEIGHTS_NAME, read_manifest(bundle))
        state = load_file(bundle / WEIGHTS_NAME)
        prompts = load_file(bundle / PROMPTS_NAME)
    if without is not None:
        state = {name: value for name, value in state.items() if not name.startswith(without)}
    tokenizer = bundle / TOKENIZER_FOLDER
    out.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder = making / "bundle"
        folder.mkdir()
        written = write_bundle(
            state | dict(tensors),
            manifest,
            prompts,
            tokenizer if tokenizer.is_dir() else None,
            folder,
        )
        folder.replace(out)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return written
