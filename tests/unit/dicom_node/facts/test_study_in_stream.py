"""The Study Instance UID is found in bytes that are still coming, or nothing is, whatever comes."""

import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from node_factory import STUDY_UID, coded_view, mammogram, put
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from dicom_node.facts.study_in_stream import STUDY_INSTANCE_UID, StreamedUid, study_of_file
from dicom_node.spool.local_disk import Spool

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
]


def written(dataset: Dataset, syntax: str) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR = syntax == ImplicitVRLittleEndian
    stream.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(stream, dataset)
    content: bytes = stream.getvalue()
    if syntax != DeflatedExplicitVRLittleEndian:
        return content
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(content) + deflater.flush()


def with_much_before_its_study() -> Dataset:
    """Return a data set with sequences of either length and private data before the UID."""
    dataset = mammogram()
    referenced, inner = Dataset(), Dataset()
    inner.StudyInstanceUID = "9.9.9"
    inner.is_undefined_length_sequence_item = True
    inner.PurposeOfReferenceCodeSequence = [coded_view("121320")]
    referenced.ReferencedStudySequence = [inner]
    referenced.is_undefined_length_sequence_item = True
    dataset.ReferencedStudySequence = Sequence([referenced, Dataset(), referenced])
    dataset["ReferencedStudySequence"].is_undefined_length = True
    dataset.ReferencedImageSequence = [inner]
    block = dataset.private_block(0x0019, "SOMEBODY", create=True)
    block.add_new(1, "OB", bytes(70_000))
    block.add_new(2, "SQ", [inner])
    return dataset


def found(content: bytes, syntax: str, size: int) -> str | None:
    value = StreamedUid(STUDY_INSTANCE_UID, syntax)
    for begin in range(0, len(content), size):
        value.feed(memoryview(content)[begin : begin + size])
    return value.value


@pytest.mark.parametrize("size", [1, 7, 16_384, 1_000_000])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_study_is_found_in_every_syntax_and_in_parts_of_any_size(syntax: str, size: int) -> None:
    assert found(written(with_much_before_its_study(), syntax), syntax, size) == STUDY_UID


def test_study_is_known_as_soon_as_its_uid_has_come() -> None:
    content = written(mammogram(), ExplicitVRLittleEndian)
    begin = content.index(struct.pack("<HH2s", 0x0020, 0x000D, b"UI")) + 8
    end = begin + len(STUDY_UID) + len(STUDY_UID) % 2
    value = StreamedUid(STUDY_INSTANCE_UID, ExplicitVRLittleEndian)

    value.feed(content[: end - 1])
    before = value.value
    value.feed(content[end - 1 : end])

    assert (before, value.value) == (None, STUDY_UID)


def test_sequence_of_unknown_representation_is_passed_over() -> None:
    implicit = struct.pack("<HHL", 0x0020, 0x000D, 6) + b"9.9.9\0"
    items = struct.pack("<HHL", 0xFFFE, 0xE000, len(implicit)) + implicit
    ends = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    sequence = struct.pack("<HH2sHL", 0x0009, 0x1001, b"UN", 0, 0xFFFFFFFF) + items + ends
    content = sequence + written(mammogram(), ExplicitVRLittleEndian)

    assert found(content, ExplicitVRLittleEndian, 10) == STUDY_UID


def without_study() -> bytes:
    dataset = mammogram()
    del dataset.StudyInstanceUID
    return written(dataset, ExplicitVRLittleEndian)


def with_study(uid: bytes) -> bytes:
    return struct.pack("<HH2sH", 0x0020, 0x000D, b"UI", len(uid)) + uid


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(without_study(), id="no study"),
        pytest.param(with_study(b""), id="an empty UID"),
        pytest.param(with_study(b"1.2\n 3"), id="not a UID"),
        pytest.param(with_study(b"1." * 71), id="a UID of 142 characters"),
        pytest.param(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) * 9, id="ends of sequences"),
        pytest.param(
            struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF) * 20_000, id="endless depth"
        ),
        pytest.param(struct.pack("<HH2sH", 9, 9, b"UI", 0) * 20_000, id="elements without end"),
    ],
)
def test_where_there_is_no_study_none_is_found(content: bytes) -> None:
    assert found(content, ExplicitVRLittleEndian, 16_384) is None


def test_what_inflates_without_end_is_given_up() -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    value = StreamedUid(STUDY_INSTANCE_UID, DeflatedExplicitVRLittleEndian)

    value.feed(deflater.compress(bytes(10_000_000)) + deflater.flush())

    assert (value.is_settled, value.value) == (True, None)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_damaged_beginnings_raise_nothing(syntax: str) -> None:
    chance = random.Random(5)
    whole = written(with_much_before_its_study(), syntax)
    for _ in range(200):
        broken = bytearray(whole[:4000])
        for _ in range(3):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        found(bytes(broken), syntax, 1000)


def test_study_of_a_received_file_is_found(spool: Spool) -> None:
    receipt = put(spool, mammogram())

    assert study_of_file(spool.incoming_file(receipt)) == STUDY_UID


def test_nothing_is_read_through_a_planted_link(spool: Spool, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(spool.incoming_file(put(spool, mammogram())))
    os.mkfifo(pipe)

    with pytest.raises(OSError, match="symbolic"):
        study_of_file(link)
    assert study_of_file(pipe) is None
