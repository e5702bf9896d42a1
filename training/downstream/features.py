"""Pooled features and embeddings of images, computed once and kept on disk."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.engines.choice import load_model
from mammoclip_core.engines.embeddings import embed_files
from mammoclip_core.manifest import Manifest, read_manifest
from training.data.data_facts import contents_sha256
from training.data.image_files import said_of
from training.errors import TableError
from training.learning.ranks import ALONE, Ranks
from training.whole_file import whole_file

_PART: Final = 256
"""Images in one file: a killed run loses no more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFeatures:
    """What a bundle's first encoder makes of images, in their order.

    Attributes
    ----------
    features : (N, C) float32, before the projection
    embeddings : (N, D) float32 of L2 norm 1
    """

    features: NDArray[np.float32]
    embeddings: NDArray[np.float32]


def image_features(
    bundle: Path,
    files: Sequence[Path],
    cache: Path,
    *,
    device: str = "cpu",
    on_part: Callable[[int], None] = lambda images: None,
    ranks: Ranks = ALONE,
) -> ImageFeatures:
    """Return the features of images, from the cache where they are known.

    The cache's key is the weights, the preprocessing, and what the files hold, in their order.

    Parameters
    ----------
    cache : folder
    on_part : called with the number of images that this process is done with, time and again
    ranks : processes that share the images, and the cache's folder; each returns all features

    Raises
    ------
    TableError
        Images cannot be read; the message names them.
    BundleError
        The bundle cannot be loaded.
    """
    manifest = read_manifest(bundle)
    folder = cache / cache_key(manifest, files)
    folder.mkdir(parents=True, exist_ok=True)
    model = None
    paths = {start: folder / f"{start:08d}.npz" for start in range(0, len(files), _PART)}
    failures: list[str] = []
    for start in ranks.share(list(paths)):
        part = files[start : start + _PART]
        if not paths[start].is_file():
            model = model or load_model(bundle, device=device)
            found = embed_files(model, part)
            if found.failures:
                failures += [said_of(Path(name), why) for name, why in found.failures.items()]
                continue
            with whole_file(paths[start]) as stream:
                np.savez(stream, features=found.features, embeddings=found.embeddings)
        on_part(len(part))
    failures = ranks.joined(failures)
    if failures:
        listed = "\n  ".join(failures)
        raise TableError(f"{len(failures)} images cannot be read\n  {listed}")
    features, embeddings = [], []
    for path in paths.values():
        with np.load(path) as kept:
            features.append(kept["features"])
            embeddings.append(kept["embeddings"])
    return ImageFeatures(features=np.concatenate(features), embeddings=np.concatenate(embeddings))


def cache_key(manifest: Manifest, files: Sequence[Path]) -> str:
    """Condense what features depend on to 32 hexadecimal digits."""
    facts = [manifest.weights_sha256, asdict(manifest.preprocessing), contents_sha256(files)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
