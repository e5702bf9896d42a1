"""Reads the data set of an object up to its pixels, within bounds of bytes and elements."""

import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.errors import SetAsideError
from mammoclip_core.images.decoding.bounded_stream import (
    DEFER_BYTES,
    MAXIMUM_HEADER_BYTES,
    BoundedStream,
)

MAXIMUM_ASKED_BYTES: Final = 2**17
"""Most bytes of the skipped values that are asked for later. They are taken to pieces then, and a
piece may be as small as a byte: what is asked for has some hundred bytes in a real image."""

AT_ONCE_SECONDS: Final = 0.05
"""Processor time that a header may take before it is left for later; a real one takes some ms."""

MAXIMUM_INFLATED_BYTES: Final = 1_500_000_000
"""Largest deflated data set, inflated. Large images are sent otherwise: deflate compresses zeros
a thousandfold, and whoever reads the pixels must hold them."""

_PIXEL_DATA: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_PIECE: Final = 2**20


class SlowHeaderError(Exception):
    """The header takes longer than `AT_ONCE_SECONDS`."""


class _Clock:
    """Ends what takes too long, unless it may take its time."""

    def __init__(self, *, may_take_long: bool) -> None:
        self._until = float("inf") if may_take_long else time.process_time() + AT_ONCE_SECONDS
        self.has_run_out = False

    def look(self) -> None:
        if time.process_time() > self._until:
            self.has_run_out = True
            raise SlowHeaderError


@contextmanager
def bounded_header(
    file: Path,
    meta: FileMetaDataset,
    *,
    content_offset: int,
    maximum_bytes: int,
    may_take_long: bool = True,
) -> Iterator[tuple[FileDataset, bool]]:
    """Read the data set of a file up to its pixels; values may be asked for until the block ends.

    Sequences can be nested as deep as Python's recursion limit allows.

    Parameters
    ----------
    meta : file meta information of the file
    content_offset : where the data set starts in the file
    maximum_bytes : largest size of a deflated data set, at most MAXIMUM_INFLATED_BYTES
    may_take_long : bool
        Otherwise a header that takes longer than AT_ONCE_SECONDS is an error.

    Yields
    ------
    FileDataset, bool
        The header, and whether pixel data follow, complete or not.

    Raises
    ------
    SetAsideError
        ``unreadable-object``: the header is beyond a bound; ``too-large``: a deflated data set is.
    SlowHeaderError
        Not `may_take_long`, and the header takes long to read.
    """
    clock = _Clock(may_take_long=may_take_long)
    with file.open("rb") as opened:
        deflated = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
        content: BinaryIO = opened
        if deflated:
            opened.seek(content_offset)
            limit = min(maximum_bytes, MAXIMUM_INFLATED_BYTES)
            content = BytesIO(_inflated_start(opened, limit, clock))
        stream = BoundedStream(content, clock.look)
        try:
            header = _read(stream, meta if deflated else None)
            stream.limit_to(MAXIMUM_ASKED_BYTES)
            yield header
        except Exception as error:
            # The library passes some of the errors of a stream on as its own.
            if clock.has_run_out:
                raise SlowHeaderError from error
            if stream.problem:
                raise SetAsideError("unreadable-object", stream.problem) from error
            raise
        if clock.has_run_out:
            raise SlowHeaderError
        if stream.problem:
            raise SetAsideError("unreadable-object", stream.problem)


def _read(stream: BoundedStream, deflated: FileMetaDataset | None) -> tuple[FileDataset, bool]:
    lengths: list[int] = []

    def at_pixels(tag: int, _vr: str | None, length: int) -> bool:
        if tag in _PIXEL_DATA:
            lengths.append(length)
        return tag in _PIXEL_DATA

    readable = cast(Any, stream)
    if deflated is None:
        dataset = read_partial(readable, stop_when=at_pixels, defer_size=DEFER_BYTES)
    else:
        inflated = read_dataset(
            readable,
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=at_pixels,
            defer_size=DEFER_BYTES,
        )
        dataset = FileDataset(readable, inflated, file_meta=deflated, is_implicit_VR=False)
    return dataset, any(lengths)


def _inflated_start(stream: BinaryIO, maximum_bytes: int, clock: _Clock) -> bytes:
    """Inflate a data set to its end for its size, and return as much as a header may have."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    start = bytearray()
    size = 0
    while not inflater.eof:
        clock.look()
        deflated = inflater.unconsumed_tail or stream.read(1 << 16)
        piece = inflater.decompress(deflated, _PIECE)
        if not deflated and not piece:
            break
        size += len(piece)
        if size > maximum_bytes:
            raise SetAsideError("too-large", "the deflated data set is too large")
        if len(start) <= MAXIMUM_HEADER_BYTES:
            start += piece
    return bytes(start)
