"""Pictures of images and results, small enough for a page: decoded apart, kept for a while."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicom_node.errors import NodeError
from mammoclip_core.errors import CoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

SIZES: Final = {"small": 320, "large": 1600}
"""Long side in pixels by the word in the address."""

_KEPT_BYTES: Final = 64 * 2**20
_QUALITY: Final = 88
_LONGEST_SECONDS: Final = 30.0
_COLORS: Final = 3
_AT_ONCE: Final = 2
"""Images that are decoded at the same time, each by a process of its own."""


class NoPictureError(NodeError):
    """The image cannot be shown."""

    reason = "no-picture"


class Pictures:
    """Makes JPEG pictures of DICOM files; an image that ends its decoder costs that image alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Path, int, int], bytes] = OrderedDict()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._size = 0

    def of(self, file: Path, long_side: int, frame: int = 1) -> bytes:
        """Return the picture of a frame of an image, or of a result of this software in colour.

        Parameters
        ----------
        frame : from 1
        long_side : pixels, at most

        Raises
        ------
        NoPictureError
        """
        key = (file, long_side, frame)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        with self._turns:
            picture = self._made(file, long_side, frame)
        with self._lock:
            if key not in self._known:
                self._known[key] = picture
                self._size += len(picture)
            while self._size > _KEPT_BYTES:
                _, oldest = self._known.popitem(last=False)
                self._size -= len(oldest)
        return picture

    def _made(self, file: Path, long_side: int, frame: int) -> bytes:
        # Imported here: the first picture loads them, and most pages have none.
        import cv2

        from dicom_node.objects.drawing.rendering import show
        from mammoclip_core.images.decoding.data_set import READING_ERRORS, read_dataset
        from mammoclip_core.images.decoding.decoding_pool import DecodingPool
        from mammoclip_core.images.header.own_result import is_own_result

        try:
            dataset = read_dataset(file)
            if dataset.get("SamplesPerPixel") == _COLORS and is_own_result(dataset):
                pixels = _colored(file, dataset, long_side, frame)
            else:
                with DecodingPool(1, longest_seconds=_LONGEST_SECONDS) as decoding:
                    stored = decoding.read_image(file, frame)
                pixels = show(dataset, stored.values, long_side).pixels
        except (NodeError, CoreError, *READING_ERRORS) as error:
            raise NoPictureError(f"the image cannot be shown: {type(error).__name__}") from error
        is_made, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not is_made:
            raise NoPictureError("the image cannot be shown as JPEG")
        return encoded.tobytes()


def _colored(file: Path, header: "Dataset", long_side: int, frame: int) -> "NDArray[np.uint8]":
    """Return a frame of a picture that this software made, with the colours as OpenCV has them."""
    import cv2
    import numpy as np
    from pydicom.pixels.utils import pixel_array

    if not 1 <= frame <= int(header.get("NumberOfFrames") or 1):
        raise NoPictureError(f"the picture has no frame {frame}")
    pixels = pixel_array(file, index=frame - 1)
    scale = long_side / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), dtype=np.uint8)
