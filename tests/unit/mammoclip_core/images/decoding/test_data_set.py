"""Headers that would take the machine's memory or time, and values that are read when asked for."""

import copy
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from core_factory import WriteInstance, breast, mammogram, save
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.bounded_stream import MAXIMUM_HEADER_BYTES, MAXIMUM_READS
from mammoclip_core.images.decoding.data_set import opened, read_dataset
from mammoclip_core.images.decoding.dicom_file import read_header, read_pixels

IMAGE = breast()
ITEMS = struct.pack("<HH2sHL", 0x0054, 0x0220, b"SQ", 0, 0xFFFFFFFF)
ITEMS += struct.pack("<HHL", 0xFFFE, 0xE000, 0) * (MAXIMUM_READS + 10)

ELEMENTS = struct.pack("<HH2sH", 0x0009, 0x0010, b"LO", 0) * 1_000_000


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def with_content(path: Path, syntax: str, content: bytes) -> Path:
    dataset = mammogram(IMAGE)
    dataset.file_meta.TransferSyntaxUID = syntax
    save(dataset, path)
    start = 144 + int(pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength)
    path.write_bytes(path.read_bytes()[:start] + content)
    return path


@pytest.mark.parametrize(
    ("read", "syntax", "packed"),
    [
        (read_dataset, ExplicitVRLittleEndian, bytes),
        (read_header, ExplicitVRLittleEndian, bytes),
        (read_pixels, ExplicitVRLittleEndian, bytes),
        (read_pixels, DeflatedExplicitVRLittleEndian, deflated),
    ],
)
def test_header_of_a_million_tiny_elements_ends_with_the_reason(
    tmp_path: Path,
    read: Callable[[Path], object],
    syntax: str,
    packed: Callable[[bytes], bytes],
) -> None:
    path = with_content(tmp_path / "a.dcm", syntax, packed(ELEMENTS))

    with pytest.raises(PixelError, match=f"more than {MAXIMUM_READS} steps"):
        read(path)


def test_sequence_of_items_without_end_ends_with_the_reason(tmp_path: Path) -> None:
    path = with_content(tmp_path / "a.dcm", ExplicitVRLittleEndian, ITEMS)

    with pytest.raises(PixelError, match=f"more than {MAXIMUM_READS} steps"):
        read_pixels(path)


def test_long_value_that_nobody_asks_for_does_no_harm(write_instance: WriteInstance) -> None:
    private = write_instance(IMAGE)
    dataset = pydicom.dcmread(private)
    block = dataset.private_block(0x0009, "VENDOR", create=True)
    block.add_new(0x01, "OB", bytes(MAXIMUM_HEADER_BYTES + 2))
    save(dataset, private)

    assert read_dataset(private).Rows == IMAGE.shape[0]
    assert np.array_equal(read_pixels(private).values, IMAGE)


def test_long_value_is_read_of_the_closed_file_when_it_is_asked_for(
    write_instance: WriteInstance,
) -> None:
    text = "x" * 10_000
    dataset = read_dataset(write_instance(IMAGE, TextComments=text))

    assert copy.deepcopy(dataset).TextComments == text
    assert dataset.TextComments == text


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_long_table_before_the_pixels_moves_no_pixel(tmp_path: Path, syntax: str) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = np.arange(4096, dtype="<u2").tobytes()
    table["LUTData"].VR = "OW"
    dataset = mammogram(IMAGE, VOILUTSequence=[table])
    dataset.file_meta.TransferSyntaxUID = syntax
    path = save(dataset, tmp_path / "a.dcm")

    stored = read_pixels(path)

    assert np.array_equal(stored.values, IMAGE)
    assert stored.display.voi_table is not None


def test_an_opened_file_stands_at_its_pixels(write_instance: WriteInstance) -> None:
    with opened(write_instance(IMAGE)) as (dataset, stream):
        assert "PixelData" not in dataset
        assert stream.read(4) == b"\xe0\x7f\x10\x00"
