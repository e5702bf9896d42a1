"""Frames of held objects as they are stored, without decoding them (PS3.18 10.4)."""

import struct
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import pydicom
from pydicom.encaps import get_frame
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from dicom_node.dicomweb.stored_header import UnreadableHeldObjectError
from dicom_node.errors import NodeError
from mammoclip_core.images.decoding.data_set import READING_ERRORS

OCTETS: Final = "application/octet-stream"
_LARGEST_FRAME_BYTES: Final = 2**28
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"
_UNDEFINED: Final = 0xFFFFFFFF
_MEDIA_TYPES: Final = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
"""Media types of compressed frames (PS3.18 table 8.7.3-5)."""


class NoSuchFrameError(NodeError):
    """The object has no frame of this number, or none that can be given by itself."""

    reason = "no-such-frame"


def frames_of(file: Path, numbers: list[int]) -> list[tuple[str, bytes]]:
    """Return frames, each with its media type and transfer syntax.

    Parameters
    ----------
    numbers : from 1

    Raises
    ------
    NoSuchFrameError
    UnreadableHeldObjectError
    """
    try:
        syntax = UID(read_file_meta_info(file).TransferSyntaxUID)
        if syntax.is_deflated:
            raise NoSuchFrameError("frames of a deflated object are not given by themselves")
        with file.open("rb") as stream:
            dataset = pydicom.dcmread(stream, stop_before_pixels=True)
            length = _open_pixels(stream, syntax)
            count = max(1, int(dataset.get("NumberOfFrames") or 1))
            if any(not 1 <= number <= count for number in numbers):
                raise NoSuchFrameError(f"the object has {count} frames")
            if length == _UNDEFINED:
                start = stream.tell()
                found = [_encapsulated(stream, start, number, count) for number in numbers]
                media = _MEDIA_TYPES.get(syntax, OCTETS)
            else:
                size = _frame_bytes(dataset)
                start = stream.tell()
                found = [_native(stream, start, number, size) for number in numbers]
                media = OCTETS
    except READING_ERRORS as error:
        raise UnreadableHeldObjectError(
            f"the pixels of the object cannot be read: {type(error).__name__}"
        ) from error
    return [(f"{media}; transfer-syntax={syntax}", frame) for frame in found]


def _open_pixels(stream: BinaryIO, syntax: UID) -> int:
    """Go to the value of Pixel Data; return its length."""
    head = stream.read(8)
    if head[:4] != (_PIXEL_DATA if syntax.is_little_endian else b"\x7f\xe0\x00\x10"):
        raise NoSuchFrameError("the object has no pixel data")
    order = "<" if syntax.is_little_endian else ">"
    encoded = head[4:] if syntax.is_implicit_VR else stream.read(4)
    length: int = struct.unpack(f"{order}L", encoded)[0]
    return length


def _frame_bytes(dataset: pydicom.Dataset) -> int:
    bits = dataset.Rows * dataset.Columns * dataset.get("SamplesPerPixel", 1)
    bits *= dataset.BitsAllocated
    if bits % 8:
        raise NoSuchFrameError("frames of this object do not begin at whole bytes")
    if not 0 < bits // 8 <= _LARGEST_FRAME_BYTES:
        raise NoSuchFrameError("the frames are too large to be given by themselves")
    return int(bits // 8)


def _native(stream: BinaryIO, start: int, number: int, size: int) -> bytes:
    stream.seek(start + (number - 1) * size)
    found = stream.read(size)
    if len(found) < size:
        raise NoSuchFrameError("the object is cut off before this frame")
    return found


def _encapsulated(stream: BinaryIO, start: int, number: int, count: int) -> bytes:
    stream.seek(start)
    return get_frame(cast(Any, stream), number - 1, number_of_frames=count)
