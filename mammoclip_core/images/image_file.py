"""From a file, DICOM or a picture, to what the model is shown of it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from mammoclip_core.background import map_ahead
from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.decoding_effort import BeforeDecoding, anything
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.picture_file import raster_format, read_raster
from mammoclip_core.images.preprocessing import PreparedImage, prepare
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Preprocessing

ReadImage = Callable[[Path, int], StoredImage]
"""Reads one frame, counted from 1, of a file; raises PixelError."""


def read_image(
    path: Path, frame: int = 1, before_decoding: BeforeDecoding = anything
) -> StoredImage:
    """Read the stored values of a DICOM file's frame or of a picture; raises PixelError."""
    try:
        is_raster = raster_format(path) is not None
    except OSError as error:
        raise PixelError(f"the file cannot be read: {type(error).__name__}") from error
    if is_raster:
        return read_raster(path, before_decoding)
    return read_pixels(path, frame, before_decoding)


def prepared_files(
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    *,
    threads: int,
    ahead: int,
    read: ReadImage = read_image,
) -> Iterator[PreparedImage | PixelError]:
    """Yield the files' images in order, prepared on threads, some ahead of what is taken.

    Parameters
    ----------
    read : in this process, or in a child by `DecodingPool.read_image`
    """
    work = partial(_prepared, preprocessing=preprocessing, read=read)
    return map_ahead(paths, work, threads=threads, ahead=ahead, name="decode")


def _prepared(
    path: Path, preprocessing: Preprocessing, read: ReadImage
) -> PreparedImage | PixelError:
    try:
        return prepare(read(path, 1), preprocessing)
    except PixelError as error:
        return error
