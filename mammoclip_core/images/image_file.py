"""From a file, DICOM or a picture, to what the model is shown of it."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mammoclip_core.background import map_ahead
from mammoclip_core.errors import PixelError
from mammoclip_core.images.dicom_file import read_pixels
from mammoclip_core.images.picture_file import raster_format, read_raster
from mammoclip_core.images.preprocessing import PreparedImage, prepare
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import Preprocessing


def read_image(path: Path, frame: int = 1) -> StoredImage:
    """Read the stored values of a DICOM file's frame or of a picture; raises PixelError."""
    try:
        is_raster = raster_format(path) is not None
    except OSError as error:
        raise PixelError(f"the file cannot be read: {type(error).__name__}") from error
    return read_raster(path) if is_raster else read_pixels(path, frame)


def prepared_files(
    paths: Sequence[Path], preprocessing: Preprocessing, *, threads: int, ahead: int
) -> Iterator[PreparedImage | PixelError]:
    """Yield the files' images in order, prepared on threads, some ahead of what is taken."""
    work = partial(_prepared, preprocessing=preprocessing)
    return map_ahead(paths, work, threads=threads, ahead=ahead, name="decode")


def _prepared(path: Path, preprocessing: Preprocessing) -> PreparedImage | PixelError:
    try:
        return prepare(read_image(path), preprocessing)
    except PixelError as error:
        return error
