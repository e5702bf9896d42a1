"""The Pixel Data element: where it stands, how long it has to be, and one frame's words of it."""

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.data_set import PIXEL_DATA
from mammoclip_core.images.decoding.stored_values import FrameLayout

UNDEFINED_LENGTH: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelData:
    """The value of a Pixel Data element.

    Attributes
    ----------
    stream : moved by whoever asks the data set for a value that was skipped
    start : where the value begins in the stream
    length : bytes as the element says; 0xFFFFFFFF for frames in items
    """

    stream: BinaryIO
    start: int
    length: int
    vr: str


def pixel_data_at(
    stream: BinaryIO, sop_instance_uid: str, *, is_implicit: bool, is_little: bool
) -> PixelData:
    """Read the head of the Pixel Data element, at which the stream stands.

    Raises
    ------
    PixelError
        Another element stands there, or it is empty.
    """
    order = "<" if is_little else ">"
    head = stream.read(8)
    tag, vr, length = 0, "OW", 0
    if len(head) == 8:
        group, element, length = struct.unpack(f"{order}HHL", head)
        tag = group << 16 | element
    if tag == PIXEL_DATA and not is_implicit:
        vr = head[4:6].decode("ascii")
        (length,) = struct.unpack(f"{order}L", stream.read(4))
    if tag != PIXEL_DATA or length == 0:
        raise PixelError(f"{sop_instance_uid}: there is no Pixel Data")
    return PixelData(stream=stream, start=stream.tell(), length=length, vr=vr)


def surplus_of(data: PixelData, layout: FrameLayout) -> str:
    """Say in a remark that uncompressed pixel data are longer than the header says; else empty.

    A byte of padding needs none. Where a whole line is too much, the header is that of another
    image: its lines would be cut at the wrong places, or a part of it would be left out. Of data
    that are too short, those frames can be read that are there.

    Raises
    ------
    PixelError
        They are too long, or in items as compressed data are.

    References
    ----------
    PS3.5 8.1.1 (length), 8.2 and A.1 to A.4 (undefined length for encapsulated pixel data alone).
    """
    uid = layout.sop_instance_uid
    if data.length == UNDEFINED_LENGTH:
        raise PixelError(
            f"{uid}: the Pixel Data are in items, as the transfer syntax of an uncompressed image "
            "forbids. Have the image sent again in the transfer syntax that it is stored in."
        )
    expected = layout.frames * layout.frame_bytes
    surplus = data.length - expected
    if surplus >= min(layout.rows, layout.columns) * layout.sample_bytes:
        raise PixelError(
            f"{uid}: the Pixel Data hold {data.length} bytes, the header says {expected} (Rows "
            f"{layout.rows}, Columns {layout.columns}, Bits Allocated {layout.bits_allocated}, "
            f"Number of Frames {layout.frames}). Have the image sent as the detector made it."
        )
    if surplus <= 1:
        return ""
    return f"the pixel data are {surplus} bytes longer than the header says: passed over"


def uncompressed_words(
    data: PixelData, layout: FrameLayout, frame: int, *, is_big_endian: bool
) -> NDArray[Any]:
    """Read one frame that is not compressed.

    Parameters
    ----------
    data : not longer than the header says, see `surplus_of`
    frame : 1 or more

    Returns
    -------
    (rows, columns) uint8 or uint16
        Bits Allocated of each pixel.

    Raises
    ------
    PixelError
        The pixel data or the file end before the frame does.
    """
    start = (frame - 1) * layout.frame_bytes
    stop = start + layout.frame_bytes
    if data.length < stop:
        raise PixelError(f"{layout.sop_instance_uid}: the pixel data are truncated")
    # Whole words are read, of which a frame of bytes may begin or end in the middle.
    first = start - start % 2
    data.stream.seek(data.start + first)
    content = data.stream.read(stop + stop % 2 - first)
    if len(content) < stop - first:
        raise PixelError(f"{layout.sop_instance_uid}: the pixel data are truncated")
    if is_big_endian and layout.sample_bytes == 1 and data.vr == "OW":
        # Two pixels share a 16-bit word, whose bytes are swapped (PS3.5 8.1.1).
        content = np.frombuffer(content, "<u2").astype(">u2").tobytes()
    dtype = f"{'>' if is_big_endian else '<'}u{layout.sample_bytes}"
    words = np.frombuffer(content, dtype, layout.rows * layout.columns, start - first)
    return words.reshape(layout.rows, layout.columns)
