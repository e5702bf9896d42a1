"""Caches the headers and drawn images of one study during one attempt."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicom_node.errors import ObjectRefusedError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dicom_node.objects.drawing.rendering import DisplayPicture
    from dicom_node.objects.sources import StoredValues
    from mammoclip_core.analysis.engine import ImageToAnalyse
    from mammoclip_core.images.image_file import ReadImage
    from mammoclip_core.images.stored_image import StoredImage

KEPT_BYTES: Final = 128 * 2**20
"""Drawn images kept from the analysis for the pictures: about thirty of the usual size."""


class StudyFiles:
    """A cache of the files of one study, used for one attempt.

    An image is drawn as soon as the engine has decoded it. That takes an eighth of the memory of
    its decoded values, which are not held until the last image of the study was shown to the model.

    Parameters
    ----------
    read : how images are read that were not kept
    long_side : pixels
        Of the pictures, at most.
    kept_bytes : 0 or more
        Total size of drawn images to keep; others are decoded again when needed.
    """

    def __init__(self, read: "ReadImage", long_side: int, kept_bytes: int = KEPT_BYTES) -> None:
        self._read = read
        self._long_side = long_side
        self._headers: dict[Path, Dataset] = {}
        self._images: dict[tuple[Path, int], DisplayPicture] = {}
        self._free_bytes = kept_bytes
        self._lock = threading.Lock()

    def header(self, path: Path) -> "Dataset":
        """Return the header of a file, read once; raises PixelError."""
        from mammoclip_core.images.decoding.data_set import read_dataset

        if path not in self._headers:
            self._headers[path] = read_dataset(path)
        return self._headers[path]

    def keep(self, image: "ImageToAnalyse", stored: "StoredImage") -> None:
        """Draw an image that the engine decoded, and keep it if it fits. Called from threads."""
        from dicom_node.objects.elements.header_values import readable
        from dicom_node.objects.sources import SourceInstance

        key = (image.path, image.frame)
        with self._lock:
            header = readable(self.header(image.path))
        source = SourceInstance(dataset=header, pixels=stored.values)
        try:
            picture = source.shown(image.frame, self._long_side)
        except ObjectRefusedError:  # told when the objects are made, if it still holds
            return
        size = picture.pixels.nbytes
        with self._lock:
            if key not in self._images and size <= self._free_bytes:
                self._free_bytes -= size
                self._images[key] = picture

    def shown(self, path: Path, frame: int) -> "DisplayPicture | StoredValues":
        """Return a frame drawn, and drop it here, or decode it; raises PixelError."""
        with self._lock:
            picture = self._images.pop((path, frame), None)
            if picture is not None:
                self._free_bytes += picture.pixels.nbytes
                return picture
        return self._read(path, frame).values
