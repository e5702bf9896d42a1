"""Feature maps of a frozen image encoder, computed once into an array on disk."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from mammoclip_core.errors import ComputingError
from mammoclip_core.manifest import Preprocessing
from mammoclip_core.networks.image_encoder import ImageEncoder
from training.data.array_file import new_array
from training.data.image_source import ImageSource
from training.learning.ranks import ALONE, Ranks
from training.whole_file import write_whole

ARRAY_NAME: Final = "maps.npy"
FACTS_NAME: Final = "maps.json"

FLIPS: Final[tuple[tuple[int, ...], ...]] = ((), (-1,), (-2,), (-1, -2))
"""Axes of an image along which it is mirrored: not at all, across, down, both."""

FeatureMaps = NDArray[np.float16]
"""(N, flips, C, H, W), mapped from disk or in memory."""


def cache_feature_maps(
    folder: Path,
    encoder: ImageEncoder,
    names: Sequence[str],
    images: ImageSource,
    preprocessing: Preprocessing,
    *,
    weights_sha256: str,
    images_sha256: str,
    with_flips: bool = False,
    batch_size: int = 8,
    device: str = "cpu",
    on_image: Callable[[], None] = lambda: None,
    ranks: Ranks = ALONE,
) -> FeatureMaps:
    """Compute the feature maps of some images, or take those that lie there.

    A killed run is taken up. The map of a mirrored image is not the mirrored map, since padding is
    not symmetric: so mirrored images are computed too, if they are wanted.

    Parameters
    ----------
    folder : of the array; made if need be
    encoder : in evaluation mode
    weights_sha256 : of the encoder's weights
    images_sha256 : of what the images hold
        Maps of other weights, images or sizes are computed anew.
    with_flips : bool
        Each image in all of `FLIPS`, else as it is.
    batch_size : images that a process computes at once
    on_image : called for each image that all processes are done with
    ranks : processes of one machine that share the images; each returns all maps

    Returns
    -------
    (N, 4 or 1, C, H, W) float16
        Mapped from disk for reading.

    Raises
    ------
    ComputingError
        A value is not finite or does not fit half precision.
    OSError
        The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flips = FLIPS if with_flips else FLIPS[:1]
    cells = encoder.map_size(preprocessing.rows, preprocessing.columns)
    shape = (len(names), len(flips), encoder.size, *cells)
    facts = {
        "weights_sha256": weights_sha256,
        "names_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
        "images_sha256": images_sha256,
        "input": [preprocessing.rows, preprocessing.columns],
        "normalisation": [preprocessing.mean, preprocessing.std],
        "shape": list(shape),
    }
    path = folder / ARRAY_NAME
    done = _done(folder, facts)
    ranks.wait()  # all have read what is done before the first one writes
    if ranks.is_first and not done:
        # First: a kill in between must not leave the former facts beside an empty array.
        (folder / FACTS_NAME).unlink(missing_ok=True)
        new_array(path, np.float16, shape)
    ranks.wait()
    maps = np.lib.format.open_memmap(path, "r+", np.float16, shape)
    encoder.to(device)
    for start in range(done, len(names), batch_size * ranks.count):
        stop = min(start + batch_size * ranks.count, len(names))
        own = ranks.share(range(start, stop))
        if own:
            found = _maps_of(
                encoder,
                [names[place] for place in own],
                images,
                preprocessing,
                flips=flips,
                device=device,
            )
            for number, values in enumerate(found):
                maps[list(own), number] = values
        maps.flush()
        ranks.wait()
        if ranks.is_first:
            _write(folder, {**facts, "done": stop})
        for _ in range(start, stop):
            on_image()
    if ranks.is_first:
        _write(folder, {**facts, "done": len(names)})
    del maps
    cached: FeatureMaps = np.load(path, mmap_mode="r")
    return cached


def _maps_of(
    encoder: ImageEncoder,
    names: Sequence[str],
    images: ImageSource,
    preprocessing: Preprocessing,
    *,
    flips: Sequence[tuple[int, ...]],
    device: str,
) -> Iterator[NDArray[np.float16]]:
    """Yield the maps of some images, (names, C, H, W), for each flip."""
    batch = torch.stack([images(name) for name in names])
    batch = ((batch - preprocessing.mean) / preprocessing.std).expand(-1, 3, -1, -1)
    for axes in flips:
        with torch.inference_mode():
            found = encoder.feature_map(batch.flip(axes).contiguous().to(device))
        values = found.to(torch.float16)
        if not bool(torch.isfinite(values).all()):
            raise ComputingError(f"feature maps of {names[0]} and on exceed float16")
        yield values.cpu().numpy()


def _done(folder: Path, facts: dict[str, Any]) -> int:
    """Return how many images lie in the folder already, with the same facts."""
    path = folder / FACTS_NAME
    if not (path.is_file() and (folder / ARRAY_NAME).is_file()):
        return 0
    known = json.loads(path.read_text(encoding="utf-8"))
    done = int(known.pop("done", 0))
    return done if known == facts else 0


def _write(folder: Path, content: dict[str, Any]) -> None:
    write_whole(folder / FACTS_NAME, json.dumps(content))
