"""Embeddings of the images of folders and lists, in one file or in several of limited size."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mammoclip_core.engines.embeddings import ImageEmbeddings, embed_files
from mammoclip_core.engines.predictor import Predictor
from mammoclip_core.errors import CoreError
from mammoclip_core.images.image_file import ReadImage
from mammoclip_core.many_studies.finding_files import LIST_NAMES, files_in
from mammoclip_core.many_studies.journal import as_text
from mammoclip_core.many_studies.lasting_files import put_in_place


class ShardError(CoreError):
    """A folder holds shards of other files or of another bundle; the message says what to do."""


_WEIGHTS: Final = "bundle_sha256"


def to_embed(paths: Iterable[Path]) -> tuple[list[Path], dict[str, str]]:
    """Return the images of files, folders and lists, and why others are passed over.

    A file that is named itself is taken as it is: it fails when it is read.
    """
    images: list[Path] = []
    failures: dict[str, str] = {}
    for path in paths:
        if not path.is_dir() and path.suffix.lower() not in LIST_NAMES:
            images.append(path)
            continue
        for found in files_in([path]):
            if found.reason:
                failures[as_text(str(found.path))] = found.reason
            else:
                images.append(found.path)
    return images, failures


def write_embeddings(
    model: Predictor, paths: Sequence[Path], out: Path, shard: int, read: ReadImage
) -> dict[str, str]:
    """Write the embeddings of images, and return why some have none.

    Parameters
    ----------
    out : file, or the folder of the shards
    shard : images of a shard; 0 for one file
        A shard is there whole or not at all, and one that is there is not made again.

    Raises
    ------
    ShardError
        A shard that is there is of other files or of another bundle.
    """
    if not shard:
        result = embed_files(model, paths, read)
        if result.files:
            _write(result, out)
        return dict(result.failures)
    out.mkdir(parents=True, exist_ok=True)
    failures: dict[str, str] = {}
    for number, first in enumerate(range(0, len(paths), shard)):
        asked = paths[first : first + shard]
        target = out / f"shard-{number:05d}.npz"
        if target.exists():
            failures |= _failures_of(target, asked, model)
            continue
        result = embed_files(model, asked, read)
        part = out / "part.npz"
        _write(result, part, failed=result.failures, weights=model.manifest.weights_sha256)
        put_in_place(part, target)
        failures |= result.failures
    return failures


def _write(
    result: ImageEmbeddings,
    path: Path,
    failed: "Iterable[str] | None" = None,
    weights: str = "",
) -> None:
    arrays = {
        "files": np.array(result.files, np.str_),
        "features": result.features,
        "embeddings": result.embeddings,
    }
    if failed is not None:
        arrays["failed"] = np.array(list(failed), np.str_)
        arrays["reasons"] = np.array([result.failures[name] for name in failed], np.str_)
        arrays[_WEIGHTS] = np.array(weights)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def _failures_of(path: Path, asked: Sequence[Path], model: Predictor) -> dict[str, str]:
    """Return the failures that a finished shard states, if it is of these files."""
    with np.load(path, allow_pickle=False) as shard:
        failures = dict(zip(shard["failed"].tolist(), shard["reasons"].tolist(), strict=True))
        files = {*shard["files"].tolist(), *failures}
        weights = str(shard[_WEIGHTS])
    if files != set(map(str, asked)) or weights != model.manifest.weights_sha256:
        raise ShardError(
            f"{path} is of other files or of another bundle: choose another --out, or delete it"
        )
    return failures
