"""Feature maps of a frozen image encoder, computed once into an array on disk."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from mammoclip_core.errors import ComputingError
from mammoclip_core.manifest import Preprocessing
from mammoclip_core.networks.image_encoder import ImageEncoder
from training.data.image_source import ImageSource

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

    Returns
    -------
    (N, 4 or 1, C, H, W) float16
        Mapped from disk for reading.

    Raises
    ------
    ComputingError
        A value is not finite or does not fit half precision.
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
    maps = np.lib.format.open_memmap(path, "r+" if done else "w+", np.float16, shape)
    encoder.to(device)
    for start in range(done, len(names), batch_size):
        stop = min(start + batch_size, len(names))
        batch = torch.stack([images(name) for name in names[start:stop]])
        batch = ((batch - preprocessing.mean) / preprocessing.std).expand(-1, 3, -1, -1)
        for number, axes in enumerate(flips):
            with torch.inference_mode():
                found = encoder.feature_map(batch.flip(axes).contiguous().to(device))
            values = found.to(torch.float16)
            if not bool(torch.isfinite(values).all()):
                raise ComputingError(f"feature maps of {names[start]} and on exceed float16")
            maps[start:stop, number] = values.cpu().numpy()
        maps.flush()
        _write(folder, {**facts, "done": stop})
        for _ in range(start, stop):
            on_image()
    _write(folder, {**facts, "done": len(names)})
    del maps
    cached: FeatureMaps = np.load(path, mmap_mode="r")
    return cached


def _done(folder: Path, facts: dict[str, Any]) -> int:
    """Return how many images lie in the folder already, with the same facts."""
    path = folder / FACTS_NAME
    if not (path.is_file() and (folder / ARRAY_NAME).is_file()):
        return 0
    known = json.loads(path.read_text(encoding="utf-8"))
    done = int(known.pop("done", 0))
    return done if known == facts else 0


def _write(folder: Path, content: dict[str, Any]) -> None:
    making = folder / (FACTS_NAME + ".part")
    making.write_text(json.dumps(content), encoding="utf-8")
    making.replace(folder / FACTS_NAME)
