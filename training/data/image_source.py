"""Where prepared images come from: a folder of pictures, or one array on disk."""

import errno
import json
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammoclip_core.errors import PixelError
from mammoclip_core.images.image_file import read_image
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.manifest import PUBLISHED_MODE, Preprocessing
from training.data.image_files import said_of

ARRAY_NAME: Final = "images.npy"
NAMES_NAME: Final = "images.json"
MAPS_NAME: Final = "maps.npy"


class ImageSource(Protocol):
    """Prepared images by name."""

    def __call__(self, name: str) -> Tensor:
        """Return one image, (1, rows, columns) in [0, 1]."""


class PictureFolder:
    """Pictures in a folder, prepared as a node does; sub-folders are part of the names.

    Parameters
    ----------
    size : (rows, columns)
    """

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder = folder
        rows, columns = size
        self._preprocessing = Preprocessing(
            mode=PUBLISHED_MODE, rows=rows, columns=columns, mean=0.0, std=1.0
        )

    def __call__(self, name: str) -> Tensor:
        """Return one image.

        Raises
        ------
        FileNotFoundError
            There is no such picture.
        PixelError
            It cannot be read, or has one single value.
        """
        path = self._folder / name
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "there is no such picture", str(path))
        try:
            prepared = prepare(read_image(path), self._preprocessing)
        except PixelError as error:
            raise PixelError(said_of(path, error)) from error
        return torch.from_numpy(prepared.values)[None]


class ImageArray:
    """Images of one size in one array, mapped from disk: what is not read costs no memory.

    Its folder holds an array ``images.npy``, (N, rows, columns) uint8, and ``images.json``: the
    names in their order, of pictures with the SHA-256 of what each held.
    """

    def __init__(self, folder: Path, size: tuple[int, int] | None = None) -> None:
        self._images = np.load(folder / ARRAY_NAME, mmap_mode="r")
        self._places = _places_of(folder)
        self.size: tuple[int, int] = size or self._images.shape[1:]

    def __call__(self, name: str) -> Tensor:
        """Return one image; raises KeyError where the array has none of this name."""
        place = self._places[name]
        image: NDArray[np.uint8] = np.array(self._images[place])
        if image.shape != self.size:
            resized = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)
            image = resized.astype(np.uint8, copy=False)
        return unit_range(image)


class MapArray:
    """What lies behind an encoder's last block, by name of image, instead of images.

    Its folder holds an array ``maps.npy``, (N, 1, c, H, W) float16, and ``images.json``.
    """

    def __init__(self, folder: Path) -> None:
        self._maps = np.load(folder / MAPS_NAME, mmap_mode="r")
        self._places = _places_of(folder)

    def __call__(self, name: str) -> Tensor:
        """Return one map, (c, H, W); raises KeyError where the array has none of this name."""
        return torch.from_numpy(self._maps[self._places[name], 0].astype(np.float32))


def image_source(folder: Path, size: tuple[int, int]) -> ImageSource:
    """Return the source that a folder is: an array if it holds one, else pictures."""
    if (folder / MAPS_NAME).is_file():
        return MapArray(folder)
    return (
        ImageArray(folder, size) if (folder / ARRAY_NAME).is_file() else PictureFolder(folder, size)
    )


def is_picture_folder(folder: Path) -> bool:
    """Tell whether a folder's images are pictures of their own, and no array."""
    return not any((folder / name).is_file() for name in (MAPS_NAME, ARRAY_NAME))


def names_in_array(folder: Path) -> tuple[str, ...]:
    """Return the names of the images that the array or the maps of a folder hold, in order."""
    return tuple(json.loads((folder / NAMES_NAME).read_text(encoding="utf-8")))


def _places_of(folder: Path) -> dict[str, int]:
    return {name: place for place, name in enumerate(names_in_array(folder))}


def unit_range(image: NDArray[np.uint8], limits: NDArray[np.uint8] | None = None) -> Tensor:
    """Scale an image to [0, 1], (1, rows, columns), by its own range or a given one."""
    values = torch.from_numpy(image).float()[None]
    lowest, highest = (
        (float(values.min()), float(values.max()))
        if limits is None
        else (float(limits[0]), float(limits[1]))
    )
    return (values - lowest) / max(highest - lowest, 1.0)
