"""A finished object as a file, its pixels not copied on the way."""

import os
from io import BufferedIOBase
from typing import IO, Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.objects.elements.encoded_sequences import with_encoded_sequences

_LARGE_BYTES: Final = 1_000_000
_HEAD_BYTES: Final = 64


def write_object(dataset: Dataset, stream: IO[bytes]) -> None:
    """Write an object behind preamble and file meta information (PS3.10 7).

    The library copies each value twice before it writes it, but those that it is given as a
    stream: of a picture that would be three times its pixels in memory.
    """
    dataset = with_encoded_sequences(dataset)
    pixels: Any = dataset.get("PixelData")
    # A stream of odd length would be written with a wrong one; ours are padded.
    is_large = (
        isinstance(pixels, bytes | bytearray)
        and len(pixels) > _LARGE_BYTES
        and len(pixels) % 2 == 0
    )
    if not is_large:
        dataset.save_as(stream, enforce_file_format=True)
        return
    element = dataset["PixelData"]
    dataset["PixelData"] = DataElement(
        element.tag, element.VR, _AtOnce(pixels), is_undefined_length=element.is_undefined_length
    )
    try:
        dataset.save_as(stream, enforce_file_format=True)
    finally:
        dataset["PixelData"] = element


class _AtOnce(BufferedIOBase):
    """A stream over bytes that hands out all that is left, however little is asked for.

    The library reads by 8 KiB, and each of a thousand reads of a picture would be a write.
    """

    def __init__(self, content: bytes | bytearray) -> None:
        self._content = memoryview(content)
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: len(self._content)}
        self._place = start[whence] + offset
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        left = self._content[self._place :]
        if size is not None and 0 <= size < _HEAD_BYTES:
            left = left[:size]
        self._place += len(left)
        # To write it a view is as good as bytes, and no copy; the head alone is looked at.
        return bytes(left) if len(left) < _HEAD_BYTES else left  # type: ignore[return-value]
