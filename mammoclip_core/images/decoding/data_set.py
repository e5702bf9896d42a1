"""From a DICOM file to its data set up to the pixels, within bounds of bytes and elements."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import pydicom
import pydicom.filereader
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.bounded_stream import DEFER_BYTES, BoundedStream, ReopenedFile
from mammoclip_core.images.decoding.frame_decoding import DEFLATED
from mammoclip_core.images.stored_image import MAX_PIXELS

MAX_INFLATED_BYTES: Final = 4 * MAX_PIXELS
"""What a deflated data set may grow to: two bytes a pixel, and as much again for the rest."""

PIXEL_DATA: Final = 0x7FE00010
_PIXELS_OF_ANY_KIND: Final = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})
_PIECE: Final = 1 << 24

READING_ERRORS: Final = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and the decoders are known to raise on damaged input: no common class."""


def is_dicom_file(path: Path) -> bool:
    """Tell whether a file begins as PS3.10 says: 128 bytes, then ``DICM``."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def read_dataset(path: Path) -> pydicom.Dataset:
    """Read the data set of a file up to its pixels.

    The values are read when they are asked for: a damaged one raises only then.

    Raises
    ------
    PixelError
        It is no readable DICOM file, or takes more bytes or steps to read than any real one.
    """
    try:
        with closing(ReopenedFile(path)) as stream:
            return _data_set(path, stream)[0]
    except READING_ERRORS as error:
        raise PixelError(
            f"{path.name} is not a readable DICOM file: {type(error).__name__}"
        ) from error


@contextmanager
def opened(path: Path) -> Iterator[tuple[pydicom.Dataset, BinaryIO]]:
    """Open a file: the data set up to its pixel data, and a stream that stands there.

    A deflated data set is inflated whole, within `MAX_INFLATED_BYTES`.

    Raises
    ------
    PixelError
        The data set takes more bytes or steps to read than any real one.
    Exception
        One of `READING_ERRORS`.
    """
    with path.open("rb") as stream:
        yield _data_set(path, stream)


def transfer_syntax_of(dataset: pydicom.Dataset) -> str:
    """Return the Transfer Syntax UID of the file meta information; empty if there is none."""
    return str(dataset.file_meta.get("TransferSyntaxUID", ""))


def _data_set(path: Path, stream: "BinaryIO | ReopenedFile") -> tuple[pydicom.Dataset, Any]:
    """Return the data set, and the stream of it, which stands behind what was read."""
    meta = pydicom.filereader.read_file_meta_info(path)
    if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:
        stream.seek(128 + 4 + 12 + int(meta.FileMetaInformationGroupLength))
        inflated = _inflated(stream)
        return _of_inflated(BoundedStream(inflated), meta, path), inflated
    bounded = BoundedStream(stream)
    with _problems_of(bounded, path):
        dataset = pydicom.filereader.read_partial(
            cast(Any, bounded), stop_when=_at_pixels, defer_size=DEFER_BYTES
        )
    return dataset, stream


def _of_inflated(bounded: BoundedStream, meta: FileMetaDataset, path: Path) -> pydicom.Dataset:
    readable = cast(Any, bounded)
    with _problems_of(bounded, path):
        dataset = pydicom.filereader.read_dataset(
            readable,
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=_at_pixels,
            defer_size=DEFER_BYTES,
        )
    return FileDataset(readable, dataset, file_meta=meta, is_implicit_VR=False)


@contextmanager
def _problems_of(stream: BoundedStream, path: Path) -> Iterator[None]:
    """Say of which file it is what stopped the stream, whatever the library makes of it."""
    try:
        yield
    except (PixelError, *READING_ERRORS) as error:
        if stream.problem:
            raise PixelError(f"{path.name}: {stream.problem}") from error
        raise


def _at_pixels(tag: int, _vr: str | None, _length: int) -> bool:
    return tag in _PIXELS_OF_ANY_KIND


def _inflated(stream: "BinaryIO | ReopenedFile") -> BytesIO:
    """Inflate a data set, unless it would grow without bound (PS3.5 A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = BytesIO()
    pending = stream.read(1 << 20)
    while pending and not inflater.eof:
        content.write(inflater.decompress(pending, _PIECE))
        if content.tell() > MAX_INFLATED_BYTES:
            raise PixelError(f"the deflated data set is larger than {MAX_INFLATED_BYTES} bytes")
        pending = inflater.unconsumed_tail or stream.read(1 << 20)
    content.seek(0)
    return content
