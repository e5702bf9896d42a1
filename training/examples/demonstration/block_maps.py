"""What lies behind the encoder's last block, computed once for every image.

The blocks stand still in the demonstration's second part: their work is done once, and many epochs
of the rest take minutes.
"""

import hashlib
import json
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammoclip_core.file_digest import file_sha256
from mammoclip_core.images.preprocessing import PUBLISHED_MEAN, PUBLISHED_STD
from mammoclip_core.manifest import PUBLISHED_MODE, Preprocessing
from mammoclip_core.networks.image_encoder import ImageEncoder
from training.data.image_source import ARRAY_NAME, NAMES_NAME, ImageArray
from training.examples.demonstration.look import Look
from training.examples.demonstration.phantom_records import name_in_look
from training.factor.feature_maps import FLIPS, FeatureMaps, cache_feature_maps

_BATCH_SIZE: Final = 8


class Blocks(nn.Module):
    """An image encoder without its last convolution, where a whole one is expected."""

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.size = encoder.block_channels

    def map_size(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the cells, (H, W), of an input of some size."""
        return self.encoder.map_size(rows, columns)

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute what lies behind the last block, (B, c, H, W)."""
        inputs = images.contiguous(memory_format=torch.channels_last)
        return self.encoder.block_map(inputs)


class ChangedLooks:
    """Images of an array with other noise, blur and tone: the same for the same number and name."""

    def __init__(self, images: ImageArray, look: Look, number: int) -> None:
        self._images = images
        self._look = look
        self._number = number

    def __call__(self, name: str) -> Tensor:
        """Return one image, (1, rows, columns) in [0, 1]."""
        seed = [self._number, crc32(name.encode())]
        return self._look(self._images(name), np.random.default_rng(seed))


def write_block_maps(
    encoder: ImageEncoder,
    images: Path,
    out: Path,
    *,
    look: Look | None = None,
    number: int = 0,
    count: int | None = None,
) -> FeatureMaps:
    """Compute the maps of a folder that `prepare_phantoms` made; takes up what a killed run left.

    Parameters
    ----------
    look : how the images are changed before; None for not at all
    number : of the look: another one changes each image in another way
    count : of the images, the first ones; None for all

    Returns
    -------
    (N, 1, c, H, W) float16
        Mapped from disk; maps of other weights are computed anew.
    """
    source = ImageArray(images)
    rows, columns = source.size
    names = json.loads((images / NAMES_NAME).read_text(encoding="utf-8"))[:count]
    preprocessing = Preprocessing(
        mode=PUBLISHED_MODE,
        rows=rows,
        columns=columns,
        mean=PUBLISHED_MEAN,
        std=PUBLISHED_STD,
    )
    encoder.eval().to(memory_format=torch.channels_last)
    shown = file_sha256(images / ARRAY_NAME)
    if look is not None:
        shown = hashlib.sha256(f"{shown} {look} {number}".encode()).hexdigest()
    maps = cache_feature_maps(
        out,
        Blocks(encoder),  # type: ignore[arg-type]
        names,
        source if look is None else ChangedLooks(source, look, number),
        preprocessing,
        weights_sha256=state_sha256(encoder.backbone.blocks),
        images_sha256=shown,
        batch_size=_BATCH_SIZE,
    )
    if not (out / NAMES_NAME).is_file():
        shown_as = [name_in_look(name, number) for name in names]
        (out / NAMES_NAME).write_text(json.dumps(shown_as), encoding="utf-8")
    return maps


def state_sha256(module: nn.Module) -> str:
    """Condense a module's weights to 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class MirroredMaps:
    """Feature maps, (N, 1, C, H, W), as if each image had been mirrored along both axes too.

    Padding is not symmetric, so the map of a mirrored image differs a little from the mirrored map;
    computing those would take four times as long.
    """

    def __init__(self, maps: FeatureMaps) -> None:
        self._maps = maps
        self.shape = (maps.shape[0], len(FLIPS), *maps.shape[2:])

    def __getitem__(self, key: tuple[int, int]) -> NDArray[np.float16]:
        """Return one map, (C, H, W), by place and flip."""
        place, flip = key
        mirrored: NDArray[np.float16] = np.flip(self._maps[place, 0], FLIPS[flip])
        return mirrored
