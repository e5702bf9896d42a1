"""What the listener answers to each C-STORE request, over real associations on loopback."""

import threading
from typing import Any

import pydicom
import pytest
from listener_factory import Listening, associated, request, store
from node_factory import (
    COMPREHENSIVE_SR,
    FOR_PRESENTATION,
    PATIENT_WORDS,
    encoded,
    mammogram,
)
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES
from pynetdicom.sop_class import Verification

from dicom_node import errors
from dicom_node.errors import (
    InvalidInstanceError,
    MismatchedStudyError,
    MistypedRequestError,
    OutOfResourcesError,
    RefusedError,
    UnacceptedClassError,
    UnacceptedSyntaxError,
    UnreadableFileError,
)
from dicom_node.facts.instance import content_offset
from dicom_node.facts.storage_classes import ACCEPTED_CLASSES
from dicom_node.receive.arriving_object import STATUS_OF
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt


def only_file(spool: Spool) -> Any:
    (receipt,) = spool.incoming()
    return spool.incoming_file(receipt)


def test_echo_is_answered(listening: Listening) -> None:
    _, port = listening()

    with associated(port, (Verification, [ExplicitVRLittleEndian])) as association:
        answer = association.send_c_echo()

    assert answer.Status == 0x0000


def test_mammogram_is_answered_with_success(listening: Listening, spool: Spool) -> None:
    _, port = listening()

    with associated(port) as association:
        answer = association.send_c_store(_with_meta(mammogram()))

    assert answer.Status == 0x0000
    assert len(spool.incoming()) == 1


def test_success_is_answered_only_after_the_spool_has_kept_it(
    listening: Listening, spool: Spool
) -> None:
    may_end, order = threading.Event(), []

    class SlowSpool(Spool):
        def keep(self, chunks: Any, receipt: Receipt) -> None:
            may_end.wait(10)
            super().keep(chunks, receipt)
            order.append("kept")

    _, port = listening(SlowSpool(spool.root))

    sending = threading.Thread(target=lambda: order.append(store(port, encoded(mammogram()))))
    sending.start()
    assert order == []
    may_end.set()
    sending.join(10)

    assert order == ["kept", 0x0000]


@pytest.mark.parametrize("error", STATUS_OF)
def test_spool_that_refuses_is_answered_with_its_status(
    listening: Listening, spool: Spool, error: type[RefusedError]
) -> None:
    class RefusingSpool(Spool):
        def keep(self, chunks: Any, receipt: Receipt) -> None:
            raise error("for the test")

    _, port = listening(RefusingSpool(spool.root))

    assert store(port, encoded(mammogram())) == STATUS_OF[error]


def test_every_reason_to_refuse_has_a_status() -> None:
    refusals = {
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, RefusedError)
    }
    leaves = {one for one in refusals if refusals.isdisjoint(one.__subclasses__())}

    assert set(STATUS_OF) == leaves


def test_statuses_are_the_standards() -> None:
    assert {
        OutOfResourcesError: 0xA700,
        InvalidInstanceError: 0x0117,
        MistypedRequestError: 0x0212,
        UnacceptedClassError: 0x0122,
        UnacceptedSyntaxError: 0xC122,
        MismatchedStudyError: 0xA900,
        UnreadableFileError: 0xC000,
    } == STATUS_OF


def test_spool_that_breaks_is_a_failure_and_the_association_goes_on(
    listening: Listening, spool: Spool, log_lines: list[Any]
) -> None:
    class BrokenOnce(Spool):
        broken = True

        def keep(self, chunks: Any, receipt: Receipt) -> None:
            if self.broken:
                self.broken = False
                raise ValueError("a bug")
            super().keep(chunks, receipt)

    _, port = listening(BrokenOnce(spool.root))

    with associated(port) as association:
        first = request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.3")
        second = request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.4")

    assert first not in {0x0000, None}
    assert second == 0x0000
    told = [line["reason"] for line in log_lines if line["event"] == "storing_failed"]
    assert told == ["ValueError"]


def test_disk_below_its_watermark_is_out_of_resources(listening: Listening, spool: Spool) -> None:
    _, port = listening(Spool(spool.root, minimum_free_bytes=2**60))

    assert store(port, encoded(mammogram())) == 0xA700
    assert spool.incoming() == []


def test_object_over_the_limit_is_out_of_resources(listening: Listening, spool: Spool) -> None:
    content = encoded(mammogram())
    _, port = listening(maximum_object_bytes=len(content) - 1)

    assert store(port, content) == 0xA700
    assert spool.incoming() == []


def test_object_at_the_limit_is_taken(listening: Listening) -> None:
    content = encoded(mammogram())
    _, port = listening(maximum_object_bytes=len(content))

    assert store(port, content) == 0x0000


@pytest.mark.parametrize("sop_class", ACCEPTED_CLASSES)
def test_whatever_a_study_holds_is_taken_from_every_sender(
    listening: Listening, sop_class: str
) -> None:
    _, port = listening()

    assert store(port, encoded(mammogram()), sop_class) == 0x0000


def test_refusal_is_told_in_one_line_that_names_nobody(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening(maximum_object_bytes=1)

    store(port, encoded(mammogram()), COMPREHENSIVE_SR, calling="ROOM9")

    (line,) = log_lines
    assert (line["event"], line["status"]) == ("instance_refused", "0xA700")
    assert (line["calling_ae_title"], line["sop_class"]) == ("ROOM9", COMPREHENSIVE_SR)
    assert not [word for word in PATIENT_WORDS if word in str(line)]


@pytest.mark.parametrize("syntax", ALL_TRANSFER_SYNTAXES)
def test_object_of_any_transfer_syntax_is_kept_byte_for_byte(
    listening: Listening, spool: Spool, syntax: str
) -> None:
    _, port = listening()
    content = b"\x08\x00\x16\x00UI\x04\x001.2\x00" + bytes(range(256))

    status = store(port, content, syntax=syntax, calling="ROOM1")

    file = only_file(spool)
    assert status == 0x0000
    assert file.read_bytes()[content_offset(file) :] == content
    meta = pydicom.filereader.read_file_meta_info(file)
    assert (meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID) == (syntax, "1.2.3")
    assert meta.SendingApplicationEntityTitle == "ROOM1"
    assert meta.SourcePresentationAddress == "dicom://127.0.0.1"


def test_bytes_that_are_no_data_set_are_kept(listening: Listening, spool: Spool) -> None:
    _, port = listening()

    assert store(port, b"this is not DICOM") == 0x0000
    assert only_file(spool).read_bytes().endswith(b"this is not DICOM")


@pytest.mark.parametrize("uid", ["../../../../tmp/x", "/etc/passwd", "1.2..3", "a" * 64, "1.2.3 "])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_uid_in_the_request_that_is_none_names_no_file(
    listening: Listening, spool: Spool, uid: str
) -> None:
    _, port = listening()

    status = store(port, encoded(mammogram()), uid=uid)

    assert status == 0x0000
    file = only_file(spool)
    assert file.parent == spool.root / "incoming"
    meta = pydicom.filereader.read_file_meta_info(file)
    assert meta.MediaStorageSOPInstanceUID == uid.strip()
    assert list(spool.root.rglob("*.dcm")) == [file]


def _with_meta(dataset: pydicom.Dataset) -> pydicom.Dataset:
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset
