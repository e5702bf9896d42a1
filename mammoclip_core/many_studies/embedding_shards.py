"""Embeddings of the images of folders and lists, in one file or in several of limited size."""

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.engines.embeddings import ImageEmbeddings, embed_files
from mammoclip_core.engines.predictor import Predictor
from mammoclip_core.errors import CoreError
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.findings import EngineIdentity
from mammoclip_core.images.image_file import ReadImage
from mammoclip_core.manifest import Manifest
from mammoclip_core.many_studies.finding_files import LIST_NAMES, NoImagesError, files_in
from mammoclip_core.many_studies.journal import as_text
from mammoclip_core.many_studies.lasting_files import whole_file


class ShardError(CoreError):
    """A folder holds shards of other files or of another bundle; the message says what to do."""


_FACTS: Final = {
    "bundle_sha256": "another bundle",
    "engine": "another engine or precision",
    "preprocessing": "another preparation of the pixels",
}
"""What a shard says of how it was made, and in words what another value is."""

_DAMAGED: Final = (BadZipFile, EOFError, KeyError, ValueError, zlib.error)
_THREADS: Final = 8


def to_embed(paths: Iterable[Path]) -> tuple[list[Path], dict[str, str]]:
    """Return the images of files, folders and lists, and why others are passed over.

    A file that is named itself is taken as it is: it fails when it is read.

    Raises
    ------
    NoImagesError
        There is nothing of either.
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
    if not images and not failures:
        raise NoImagesError
    return images, failures


def write_embeddings(
    model: Predictor, paths: Sequence[Path], out: Path, read: ReadImage
) -> dict[str, str]:
    """Write the embeddings of images into one file, and return why some have none.

    The file is there whole or not at all; where no image has an embedding, a former one stays.

    Raises
    ------
    OSError
        Nothing can be written there: this is tried before the first image.
    """
    target = out if out.suffix == ".npz" else out.with_name(f"{out.name}.npz")
    with whole_file(target) as stream:
        result = embed_files(model, paths, read)
        if result.files:
            np.savez_compressed(stream, allow_pickle=False, **_arrays(result))
    return dict(result.failures)


def shard_facts(manifest: Manifest, computed_by: EngineIdentity) -> dict[str, str]:
    """Return what embeddings depend on beside the images: it stands in each shard."""
    return {
        "bundle_sha256": manifest.weights_sha256,
        "engine": str(computed_by),
        "preprocessing": json.dumps(asdict(manifest.preprocessing)),
    }


def write_shards(
    model: Predictor,
    paths: Sequence[Path],
    out: Path,
    shard: int,
    *,
    facts: Mapping[str, str],
    read: ReadImage,
) -> dict[str, str]:
    """Write the embeddings of images into shards, and return why some have none.

    A shard is there whole or not at all. One that is there is not made again, unless it is damaged;
    its images are read once more, to tell whether they still are what it was made of.

    Parameters
    ----------
    out : folder
    shard : images of a shard
    facts : of `shard_facts`

    Raises
    ------
    ShardError
        A shard that is there was made of other files or otherwise, or lies behind the last one.
    """
    out.mkdir(parents=True, exist_ok=True)
    _require_none_behind(out, len(range(0, len(paths), shard)))
    failures: dict[str, str] = {}
    for number, first in enumerate(range(0, len(paths), shard)):
        asked = paths[first : first + shard]
        target = out / f"shard-{number:05d}.npz"
        with ThreadPoolExecutor(_THREADS) as pool:
            digests = dict(zip(map(str, asked), pool.map(_content_sha256, asked), strict=True))
        finished = _finished(target)
        if finished is not None:
            _require_same(target, finished, digests, facts)
            failures |= finished.failures
            continue
        with whole_file(target) as stream:
            result = embed_files(model, asked, read)
            failed = list(result.failures)
            np.savez_compressed(
                stream,
                allow_pickle=False,
                **_arrays(result),
                failed=np.array(failed, np.str_),
                reasons=np.array([result.failures[name] for name in failed], np.str_),
                sha256=np.array([digests[name] for name in (*result.files, *failed)], np.str_),
                **{name: np.array(value) for name, value in facts.items()},
            )
        failures |= result.failures
    return failures


def _arrays(result: ImageEmbeddings) -> dict[str, NDArray[Any]]:
    return {
        "files": np.array(result.files, np.str_),
        "features": result.features,
        "embeddings": result.embeddings,
    }


def _content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file; nothing of one that cannot be read, which then fails."""
    try:
        return file_sha256(path)
    except OSError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    """What a shard says of itself.

    Attributes
    ----------
    digests : SHA-256 of each file, those that failed too
    facts : as `shard_facts`
    """

    digests: Mapping[str, str]
    failures: Mapping[str, str]
    facts: Mapping[str, str]


def _finished(path: Path) -> _Finished | None:
    """Read a shard whole; None where there is none, or it is damaged and has to be made again."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as shard:
            arrays = {name: shard[name] for name in shard.files}
        files, failed, reasons, sha256 = (
            arrays[name].tolist() for name in ("files", "failed", "reasons", "sha256")
        )
        return _Finished(
            digests=dict(zip([*files, *failed], sha256, strict=True)),
            failures=dict(zip(failed, reasons, strict=True)),
            facts={name: str(arrays[name]) for name in _FACTS},
        )
    except _DAMAGED:
        return None


def _require_none_behind(out: Path, count: int) -> None:
    """Refuse shards whose number is none of those that are made now; raises ShardError."""
    numbered = (
        (int(match[1]), path)
        for path in out.iterdir()
        if (match := re.fullmatch(r"shard-([0-9]+)\.npz", path.name))
    )
    behind = [path for number, path in sorted(numbered) if number >= count]
    if len(behind) == 1:
        raise ShardError(f"{behind[0]} is of other files: choose another --out, or delete it")
    if behind:
        raise ShardError(
            f"{behind[0]} and {len(behind) - 1} more after it are of other files: choose another"
            " --out, or delete them"
        )


def _require_same(
    path: Path, finished: _Finished, digests: Mapping[str, str], facts: Mapping[str, str]
) -> None:
    """Refuse a shard that differs from what would be made now; raises ShardError."""
    changed = [name for name, digest in digests.items() if finished.digests.get(name) != digest]
    if finished.digests.keys() != digests.keys():
        other = "other files"
    elif changed:
        other = f"what files held before, {len(changed)} of them, {changed[0]} the first"
    else:
        other = " and ".join(
            words for name, words in _FACTS.items() if finished.facts[name] != facts[name]
        )
    if other:
        raise ShardError(f"{path} is of {other}: choose another --out, or delete it")
