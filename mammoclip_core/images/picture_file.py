"""PNG, JPEG and TIFF files as grey values: mammograms exported from DICOM, or prepared before."""

from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.decoding_effort import BeforeDecoding, anything
from mammoclip_core.images.stored_image import MAX_PIXELS, MIN_EDGE, StoredImage

PREPARED_KEYWORD: Final = "Mammogram"
PREPARED_WORDS: Final = "cropped and scaled"
"""What a PNG says of itself that is to be shown to a model as it is (PNG, 11.3.3.2: tEXt)."""

_RUN_LENGTHS: Final = 3
"""zlib's Z_RLE: noise has no repetitions to look for, and this is faster and smaller."""

_STARTS: Final = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
"""First bytes of each format; the file name extension is not relied on."""

_GREY_MODES: Final = frozenset({"1", "L", "I;16", "I;16B", "I;16L", "I", "LA"})
_COLOR_MODES: Final = frozenset({"RGB", "RGBA", "P"})

_JPEG_TOLERANCE: Final = 8
"""By how much the channels of a grey picture may differ after JPEG has gone through color."""

_READING_ERRORS: Final = (
    EOFError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What the decoder is known to raise on damaged or enormous files."""


def raster_format(path: Path) -> str | None:
    """Return ``PNG``, ``JPEG`` or ``TIFF``, or None where a file is none of them."""
    with path.open("rb") as stream:
        start = stream.read(4)
    return next((name for first, name in _STARTS.items() if start.startswith(first)), None)


def read_raster(path: Path, before_decoding: BeforeDecoding = anything) -> StoredImage:
    """Read a picture of one frame as stored values, air dark.

    A PNG that `prepared_png` made is known by what it says of itself. Any other PNG or TIFF keeps
    every value, so that one of the model's input size may count as prepared; JPEG does not.

    Raises
    ------
    PixelError
        The file is damaged, too small or too large, in color, has several pages, or holds
        floating-point numbers.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as picture:
            _check_header(picture, path.name)
            before_decoding(picture.width * picture.height, path.stat().st_size)
            is_exact = picture.format != "JPEG"
            is_prepared = (
                picture.format == "PNG" and picture.info.get(PREPARED_KEYWORD) == PREPARED_WORDS
            )
            values = _grey(picture, 0 if is_exact else _JPEG_TOLERANCE, path.name)
    except PixelError:
        raise
    except _READING_ERRORS as error:
        raise PixelError(
            f"{path.name} is not a readable picture: {type(error).__name__}"
        ) from error
    return StoredImage(
        sop_instance_uid=str(path),
        values=values,
        photometric_interpretation="MONOCHROME2",
        bits_stored=8 * values.dtype.itemsize,
        is_prepared=is_prepared,
        may_be_prepared=is_exact,
    )


def prepared_png(grey: NDArray[np.uint8]) -> bytes:
    """Return a PNG of an image that was cropped and scaled, which says so of itself.

    Parameters
    ----------
    grey : (rows, columns) uint8
    """
    words = PngInfo()
    words.add_text(PREPARED_KEYWORD, PREPARED_WORDS)
    content = BytesIO()
    Image.fromarray(grey).save(
        content, format="PNG", pnginfo=words, compress_level=1, compress_type=_RUN_LENGTHS
    )
    return content.getvalue()


def _check_header(picture: Image.Image, name: str) -> None:
    """Refuse by size and kind before any pixel is decoded."""
    if picture.mode not in _GREY_MODES | _COLOR_MODES:
        raise PixelError(
            f"{name}: pixels of kind {picture.mode} are not supported: use grey, 8 or 16 bits"
        )
    columns, rows = picture.size
    if min(rows, columns) < MIN_EDGE:
        raise PixelError(f"{name}: {rows} x {columns} pixels are too few")
    if rows * columns > MAX_PIXELS:
        raise PixelError(f"{name}: {rows} x {columns} pixels are too many")
    if getattr(picture, "n_frames", 1) != 1:
        raise PixelError(f"{name}: several pages; save one page to a file of its own")


def _grey(picture: Image.Image, tolerance: int, name: str) -> NDArray[Any]:
    if picture.mode in {"P", "1"}:
        picture = picture.convert("RGB" if picture.mode == "P" else "L")
    values = np.asarray(picture)
    if picture.mode in {"LA", "RGBA"}:
        if values[..., -1].min() < 255:
            raise PixelError(
                f"{name}: parts of the picture are transparent; save it without alpha channel"
            )
        values = values[..., :-1]
    if values.ndim == 3:
        low, high = values.min(axis=2), values.max(axis=2)
        if int((high - low).max()) > tolerance:
            raise PixelError(f"{name}: the picture is in color; a mammogram is grey")
        values = values[..., 0] if tolerance == 0 else values[..., min(1, values.shape[2] - 1)]
    if values.dtype.itemsize > 2:
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise PixelError(f"{name}: values beyond 16 bits")
        values = values.astype(np.uint16)
    native = values.dtype.newbyteorder("=")
    return np.ascontiguousarray(values.astype(native))
