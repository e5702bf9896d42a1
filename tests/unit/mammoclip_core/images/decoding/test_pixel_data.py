"""Pixel data that are longer, or of more frames, than the header says."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from core_factory import WriteInstance, breast, encapsulated, mammogram, save
from pydicom.encaps import encapsulate, encapsulate_extended, get_frame
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.dicom_file import read_pixels

IMAGE = breast(90, 74, seed=1)
LINE = 2 * 74


def run_length_frame() -> bytes:
    dataset = mammogram(IMAGE)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


FRAMES = {
    JPEGLosslessSV1: imagecodecs.jpeg8_encode(IMAGE, lossless=True, bitspersample=12),
    JPEGLSLossless: imagecodecs.jpegls_encode(IMAGE),
    JPEG2000Lossless: imagecodecs.jpeg2k_encode(
        IMAGE, codecformat="j2k", reversible=True, level=0, bitspersample=12
    ),
    RLELossless: run_length_frame(),
}
SYNTAXES = pytest.mark.parametrize("syntax", FRAMES, ids=lambda uid: uid.name)


def in_fragments(path: Path, syntax: str, fragments: Sequence[bytes], **attributes: Any) -> Path:
    """Write fragments without a table that says where frames begin."""
    file = encapsulated(path, IMAGE, syntax, *fragments, **attributes)
    dataset = pydicom.dcmread(file)
    dataset.PixelData = encapsulate(list(fragments), has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    return save(dataset, file)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, "6660 .* Bits Allocated 8"),
        ({"Columns": 73}, "13140 .* Columns 73"),
        ({"Rows": 89}, "13172 .*Rows 89"),
        ({"PixelData": IMAGE.tobytes() * 5}, "66600 bytes, .* 13320 .* Number of Frames 1"),
    ],
)
def test_more_pixel_data_than_the_header_says_are_refused(
    write_instance: WriteInstance, attributes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(PixelError, match=f"Pixel Data hold .*{expected}"):
        read_pixels(write_instance(IMAGE, **attributes))


@pytest.mark.parametrize("padding", [2, LINE - 2])
def test_some_bytes_behind_the_pixels_are_passed_over_and_said(
    write_instance: WriteInstance, padding: int
) -> None:
    # In a wide image a column is the shorter line, of which one too few would shear it.
    wide = np.ascontiguousarray(IMAGE.T)

    stored = read_pixels(write_instance(wide, PixelData=wide.tobytes() + bytes(padding)))

    np.testing.assert_array_equal(stored.values, wide)
    assert stored.remark == (
        f"the pixel data are {padding} bytes longer than the header says: passed over"
    )


def test_byte_that_makes_the_length_even_needs_no_remark(write_instance: WriteInstance) -> None:
    odd = (IMAGE[:89, :73] >> 4).astype(np.uint8)

    stored = read_pixels(write_instance(odd, PixelData=odd.tobytes() + b"\0"))

    np.testing.assert_array_equal(stored.values, odd)
    assert stored.remark == ""


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_items_in_a_transfer_syntax_that_has_none_are_refused(tmp_path: Path, syntax: str) -> None:
    dataset = mammogram(IMAGE)
    dataset.file_meta.TransferSyntaxUID = syntax
    file = save(dataset, tmp_path / "a.dcm")
    content = file.read_bytes()
    length = struct.pack("<L", IMAGE.nbytes)
    place = content.rindex(length + IMAGE.tobytes())
    file.write_bytes(content[:place] + b"\xff" * 4 + encapsulate([IMAGE.tobytes()]))

    with pytest.raises(PixelError, match=r"in items, as the transfer syntax .* forbids"):
        read_pixels(file)


@SYNTAXES
@pytest.mark.parametrize("stated", [None, 1, 3])
def test_more_frames_than_the_header_says_are_refused(
    tmp_path: Path, syntax: str, stated: int | None
) -> None:
    frames = [FRAMES[syntax]] * 5
    header = {} if stated is None else {"NumberOfFrames": stated}
    reason = f"hold 5 frames, Number of Frames says {stated or 1}"

    with pytest.raises(PixelError, match=reason):
        read_pixels(encapsulated(tmp_path / "a.dcm", IMAGE, syntax, *frames, **header))
    with pytest.raises(PixelError, match=reason):
        read_pixels(in_fragments(tmp_path / "b.dcm", syntax, frames, **header))


@SYNTAXES
def test_more_frames_in_an_extended_table_than_the_header_says_are_refused(
    tmp_path: Path, syntax: str
) -> None:
    file = encapsulated(tmp_path / "a.dcm", IMAGE, syntax, FRAMES[syntax])
    dataset = pydicom.dcmread(file)
    value, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(
        [FRAMES[syntax]] * 2
    )
    dataset.PixelData = value

    with pytest.raises(PixelError, match="hold 2 frames, Number of Frames says 1"):
        read_pixels(save(dataset, file))


@pytest.mark.parametrize(
    ("syntax", "behind"),
    [
        *((syntax, b"") for syntax in FRAMES),
        *((syntax, bytes(64)) for syntax in FRAMES if syntax != RLELossless),
        *((syntax, b"\xff\xd9" * 9) for syntax in FRAMES if syntax != RLELossless),
    ],
)
def test_frame_in_several_fragments_and_what_follows_it_are_one_frame(
    tmp_path: Path, syntax: str, behind: bytes
) -> None:
    frame = FRAMES[syntax]
    middle = len(frame) // 4 * 2
    fragments = [frame[:middle], frame[middle:], *([behind] if behind else [])]

    stored = read_pixels(in_fragments(tmp_path / "a.dcm", syntax, fragments))

    np.testing.assert_array_equal(stored.values, IMAGE)


@SYNTAXES
def test_each_of_several_frames_is_read(tmp_path: Path, syntax: str) -> None:
    file = in_fragments(tmp_path / "a.dcm", syntax, [FRAMES[syntax]] * 3, NumberOfFrames=3)

    np.testing.assert_array_equal(read_pixels(file, 3).values, IMAGE)
