"""A finished object as a file, its pixels not copied on the way."""

from io import BytesIO
from typing import IO, Any, Final

from pydicom.dataset import Dataset

_LARGE_BYTES: Final = 1_000_000


def write_object(dataset: Dataset, stream: IO[bytes]) -> None:
    """Write an object behind preamble and file meta information (PS3.10 7).

    The library copies each value twice before it writes it, but those that it is given as a
    stream: of a picture that would be three times its pixels in memory.
    """
    pixels: Any = dataset.get("PixelData")
    # A stream of odd length would be written with a wrong one; ours are padded.
    is_large = isinstance(pixels, bytes) and len(pixels) > _LARGE_BYTES and len(pixels) % 2 == 0
    if is_large:
        dataset["PixelData"].value = BytesIO(pixels)  # shares the bytes
    try:
        dataset.save_as(stream, enforce_file_format=True)
    finally:
        if is_large:
            dataset["PixelData"].value = pixels
