"""Pictures of received images, small enough for a page: decoded apart, kept for a while."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError
from mammoclip_core.errors import CoreError

SIZES: Final = {"small": 320, "large": 1600}
"""Long side in pixels by the word in the address."""

_KEPT_BYTES: Final = 64 * 2**20
_QUALITY: Final = 88
_LONGEST_SECONDS: Final = 30.0


class NoPictureError(NodeError):
    """The image cannot be shown."""

    reason = "no-picture"


class Pictures:
    """Makes JPEG pictures of DICOM files; an image that ends its decoder costs that image alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Path, int], bytes] = OrderedDict()
        self._size = 0

    def of(self, file: Path, long_side: int) -> bytes:
        """Return the picture of an image's first frame.

        Parameters
        ----------
        long_side : pixels, at most

        Raises
        ------
        NoPictureError
        """
        key = (file, long_side)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        picture = self._made(file, long_side)
        with self._lock:
            if key not in self._known:
                self._known[key] = picture
                self._size += len(picture)
            while self._size > _KEPT_BYTES:
                _, oldest = self._known.popitem(last=False)
                self._size -= len(oldest)
        return picture

    def _made(self, file: Path, long_side: int) -> bytes:
        # Imported here: the first picture loads them, and most pages have none.
        import cv2

        from dicom_node.objects.drawing.rendering import show
        from mammoclip_core.images.decoding.data_set import READING_ERRORS, read_dataset
        from mammoclip_core.images.decoding.decoding_pool import DecodingPool

        try:
            with DecodingPool(1, longest_seconds=_LONGEST_SECONDS) as decoding:
                stored = decoding.read_image(file)
            shown = show(read_dataset(file), stored.values, long_side)
        except (NodeError, CoreError, *READING_ERRORS) as error:
            raise NoPictureError(f"the image cannot be shown: {type(error).__name__}") from error
        is_made, encoded = cv2.imencode(".jpg", shown.pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not is_made:
            raise NoPictureError("the image cannot be shown as JPEG")
        return encoded.tobytes()
