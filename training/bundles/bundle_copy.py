"""A bundle made from another one, with further tensors and what its manifest says of them."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from mammoclip_core.bundles.tensors import check_weights, declared
from mammoclip_core.bundles.writing import write_bundle
from mammoclip_core.errors import BundleError
from mammoclip_core.manifest import (
    PROMPTS_NAME,
    TOKENIZER_FOLDER,
    WEIGHTS_NAME,
    Manifest,
    read_manifest,
    require_empty,
)
from training.whole_file import require_writable


def copy_bundle(
    bundle: Path,
    out: Path,
    manifest: Manifest,
    tensors: Mapping[str, Tensor],
    *,
    without: tuple[str, ...] = (),
) -> Manifest:
    """Write a bundle with its own tensors, all in the precision they have, and further ones.

    Parameters
    ----------
    out : folder
        Must not exist, or be empty. It appears complete or not at all.
    manifest : of the new bundle
    without : begins of names of tensors that are left behind

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
    kept = {name: value for name, value in state.items() if not name.startswith(without)}
    tokenizer = bundle / TOKENIZER_FOLDER
    with making_bundle(out) as folder:
        return write_bundle(
            kept | dict(tensors),
            manifest,
            prompts,
            tokenizer if tokenizer.is_dir() else None,
            folder,
        )


def require_room(out: Path, results: Path | None = None) -> None:
    """Refuse a folder for a new bundle before the training that leads to it, not behind it.

    Parameters
    ----------
    results : folder of what is written before the bundle

    Raises
    ------
    BundleError
        It is not empty, or will not be by then.
    OSError
        Nothing can be written beside it.
    """
    require_empty(out)
    if results is not None and results.resolve().is_relative_to(out.resolve()):
        raise BundleError(
            f"{out} will not be empty: {results} is written there; name another folder"
        )
    require_writable(out.parent)


@contextmanager
def making_bundle(out: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of `out` when all went well."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder = scratch / "bundle"
        folder.mkdir()
        yield folder
        folder.replace(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
