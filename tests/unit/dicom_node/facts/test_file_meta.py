"""File meta information of strangers is read within bounds, however it is written."""

from io import BytesIO

import pytest
from files_on_disk import dicom_file
from node_factory import encoded, mammogram
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.errors import UnreadableFileError
from dicom_node.facts.file_meta import read_file_meta

GROUP_LENGTH_END = 144


def rest_of(content: bytes) -> bytes:
    stream = BytesIO(content)
    return read_file_meta(stream).beginning + stream.read()


def test_data_set_begins_behind_the_file_meta_information() -> None:
    dataset = mammogram()

    assert rest_of(dicom_file(dataset)) == encoded(dataset)


def test_group_length_that_is_missing_is_not_needed() -> None:
    dataset = mammogram()
    whole = dicom_file(dataset)

    assert rest_of(whole[:132] + whole[GROUP_LENGTH_END:]) == encoded(dataset)


def test_group_length_that_is_wrong_is_not_relied_on() -> None:
    dataset = mammogram()
    whole = dicom_file(dataset)
    wrong = whole[:140] + (7).to_bytes(4, "little") + whole[GROUP_LENGTH_END:]

    assert rest_of(wrong) == encoded(dataset)


def test_deflated_bytes_that_look_like_group_2_are_of_the_data_set() -> None:
    whole = dicom_file(mammogram(), TransferSyntaxUID=DeflatedExplicitVRLittleEndian)
    deflated = b"\x02\x00\x77\x00UI\x04\x00abcd"
    meta = whole[: len(whole) - len(encoded(mammogram()))]

    assert rest_of(meta + deflated) == deflated


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"DICM",
        bytes(132),
        bytes(128) + b"DICM",
        bytes(128) + b"DICM" + b"\x02\x00\x10\x00\x00\x00\x00\x00",  # Implicit VR
        bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x40\x00" + b"1.2.840",  # cut off
        bytes(128) + b"DICM" + b"\x02\x00\x01\x00OB\x00\x00\xff\xff\xff\x7f",  # 2 GB
        bytes(128) + b"DICM" + b"\x02\x00\x01\x00UI\x00\x00" * 20_000,
    ],
)
def test_what_is_no_dicom_file_is_told_as_such(content: bytes) -> None:
    with pytest.raises(UnreadableFileError):
        read_file_meta(BytesIO(content))
