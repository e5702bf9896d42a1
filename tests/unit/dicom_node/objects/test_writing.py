"""A finished object is written as the library writes it, without further copies of its pixels."""

import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom_node.objects.writing import WrittenParts, write_object


def picture(pixels: bytes, *, is_compressed: bool = False) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = (
        JPEGBaseline8Bit if is_compressed else ExplicitVRLittleEndian
    )
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.Rows, dataset.BitsAllocated, dataset.SamplesPerPixel = 1, 8, 1
    dataset.PixelData = encapsulate([pixels]) if is_compressed else pixels
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = is_compressed
    return dataset


@pytest.mark.parametrize("size", [2, 10, 11, 1_500_000, 1_500_001])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_file_is_the_one_of_the_library(size: int, is_compressed: bool) -> None:
    pixels = bytes(range(256)) * (size // 256) + bytes(size % 256)
    expected, written = BytesIO(), BytesIO()
    picture(pixels, is_compressed=is_compressed).save_as(expected, enforce_file_format=True)

    write_object(picture(pixels, is_compressed=is_compressed), written)

    assert written.getvalue() == expected.getvalue()


def test_object_is_as_it_was_after_it_was_written() -> None:
    dataset, pixels = picture(bytes(2_000_000)), bytes(2_000_000)

    write_object(dataset, BytesIO())

    assert dataset.PixelData == pixels


def test_pixels_are_not_copied_on_the_way() -> None:
    dataset = picture(bytes(20_000_000))
    with Path("/dev/null").open("wb") as stream:
        tracemalloc.start()
        write_object(dataset, stream)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 10_000_000


@pytest.mark.parametrize("size", [2, 11, 1_500_000, 1_500_001])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_parts_of_a_file_are_the_file(size: int, is_compressed: bool) -> None:
    expected, parts = BytesIO(), WrittenParts()

    for stream in (expected, parts):
        write_object(picture(bytes(range(250)) * 6000, is_compressed=is_compressed), stream)
        write_object(picture(bytes(size), is_compressed=is_compressed), stream)

    assert parts.tell() == len(expected.getvalue())
    assert b"".join(parts.parts()) == expected.getvalue()


def test_pixels_of_a_file_in_parts_stay_where_they_are() -> None:
    dataset = picture(bytes(2_000_000))
    file = WrittenParts()

    write_object(dataset, file)

    assert any(
        isinstance(part, memoryview) and part.obj is dataset.PixelData for part in file.parts()
    )
