"""Caches the headers and decoded images of one study during one attempt."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from mammoclip_core.analysis.engine import ImageToAnalyse
    from mammoclip_core.images.image_file import ReadImage
    from mammoclip_core.images.stored_image import StoredImage

KEPT_BYTES: Final = 256 * 2**20
"""Decoded images kept from the analysis for the pictures: four views of the largest size."""


class StudyFiles:
    """A cache of the files of one study, used for one attempt.

    Parameters
    ----------
    read : how images are read that were not kept
    kept_bytes : 0 or more
        Total size of decoded images to keep; others are decoded again when needed.
    """

    def __init__(self, read: "ReadImage", kept_bytes: int = KEPT_BYTES) -> None:
        self._read = read
        self._headers: dict[Path, Dataset] = {}
        self._images: dict[tuple[Path, int], NDArray[np.integer[Any]]] = {}
        self._free_bytes = kept_bytes
        self._lock = threading.Lock()

    def header(self, path: Path) -> "Dataset":
        """Return the header of a file, read once; raises PixelError."""
        from mammoclip_core.images.data_set import read_dataset

        if path not in self._headers:
            self._headers[path] = read_dataset(path)
        return self._headers[path]

    def keep(self, image: "ImageToAnalyse", stored: "StoredImage") -> None:
        """Keep an image that the engine decoded, if it fits. Called from several threads."""
        key, size = (image.path, image.frame), stored.values.nbytes
        with self._lock:
            if key not in self._images and size <= self._free_bytes:
                self._free_bytes -= size
                self._images[key] = stored.values

    def stored_values(self, path: Path, frame: int) -> NDArray[np.integer[Any]]:
        """Return the stored values of a frame and drop them here; raises PixelError."""
        with self._lock:
            values = self._images.pop((path, frame), None)
            if values is not None:
                self._free_bytes += values.nbytes
                return values
        return self._read(path, frame).values
