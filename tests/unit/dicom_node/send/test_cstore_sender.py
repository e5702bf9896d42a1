"""C-STORE delivery against a real storage SCP on loopback."""

import errno
import gc
import socket
from collections.abc import Callable

import pytest
from archive import Archive, destination, sent
from node_factory import SECONDARY_CAPTURE
from ports import free_port
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import association, evt
from pynetdicom.sop_class import Verification
from pynetdicom.transport import AssociationSocket
from services import wait_for

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.facts.instance import content_offset
from dicom_node.network import associate
from dicom_node.send import converted
from dicom_node.send.c_store import CStoreSender
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome

MakeObject = Callable[..., ObjectToSend]

OF_STATUS = {
    0x0000: Outcome.ACCEPTED,
    0xB000: Outcome.ACCEPTED,
    0xB006: Outcome.ACCEPTED,
    0xB007: Outcome.ACCEPTED,
    0x0111: Outcome.ACCEPTED,
    0xA700: Outcome.POSTPONED,
    0xA7FF: Outcome.POSTPONED,
    0x0110: Outcome.POSTPONED,
    0x0213: Outcome.POSTPONED,
    0xA900: Outcome.REFUSED,
    0xC000: Outcome.REFUSED,
    0xCFFF: Outcome.REFUSED,
    0x0117: Outcome.REFUSED,
    0x0122: Outcome.REFUSED,
    0x0124: Outcome.POSTPONED,
    0xFE00: Outcome.REFUSED,
}


@pytest.mark.parametrize("status", OF_STATUS, ids="0x{:04X}".format)
def test_status_of_the_archive_is_the_outcome(
    archive_with: Callable[..., Archive], result_object: MakeObject, status: int
) -> None:
    (answer,) = sent(archive_with(status), item := result_object())

    assert answer == Answer(key=item.key, outcome=OF_STATUS[status], status=f"0x{status:04X}")


def test_every_object_has_its_own_answer(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    objects = [result_object() for _ in range(4)]

    answers = sent(archive_with(0x0000, 0xC000, 0xA700, 0xB000), *objects)

    assert [answer.key for answer in answers] == [item.key for item in objects]
    assert [answer.outcome.value for answer in answers] == [
        "accepted",
        "refused",
        "postponed",
        "accepted",
    ]


def test_object_goes_out_byte_for_byte(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    archive, item = archive_with(), result_object()

    sent(archive, item)

    ((uid, content, _),) = archive.received
    assert uid == item.sop_instance_uid
    assert content == item.file.read_bytes()[content_offset(item.file) :]


def test_objects_go_over_one_association_that_is_released(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    archive = archive_with()

    sent(archive, result_object(), result_object(), result_object(SECONDARY_CAPTURE))

    assert (len(archive.received), archive.released) == (3, 1)


@pytest.mark.parametrize(("own", "expected"), [(None, "MAMMOCLIP"), ("RESULTS", "RESULTS")])
def test_calling_title_is_the_destination_s_or_the_node_s(
    archive_with: Callable[..., Archive],
    result_object: MakeObject,
    own: str | None,
    expected: str,
) -> None:
    archive = archive_with()

    sent(archive, result_object(), calling_ae_title=own)

    assert archive.received[0][2] == expected


def test_class_that_the_archive_does_not_take_is_refused_and_the_rest_goes(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    archive = archive_with(classes=(SECONDARY_CAPTURE,))

    report, picture = sent(archive, result_object(), result_object(SECONDARY_CAPTURE))

    assert (report.outcome, picture.outcome) == (Outcome.REFUSED, Outcome.ACCEPTED)
    assert report.status == "the destination does not accept Comprehensive SR Storage"


def test_archive_that_takes_no_class_at_all_refuses_for_good(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    archive = archive_with(classes=("1.2.840.10008.5.1.4.1.1.2",))

    answers = sent(archive, result_object(), result_object())

    assert {answer.outcome for answer in answers} == {Outcome.REFUSED}


def test_file_that_is_gone_is_refused_and_the_rest_goes(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    gone, good = result_object(), result_object()
    gone.file.unlink()

    first, second = sent(archive_with(), gone, good)

    assert (first.outcome, second.outcome) == (Outcome.REFUSED, Outcome.ACCEPTED)
    assert "FileNotFoundError" in first.status


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_file_that_the_disk_does_not_give_is_sent_later(
    archive_with: Callable[..., Archive],
    result_object: MakeObject,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
) -> None:
    item = result_object()

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, "for the test")

    monkeypatch.setattr(converted, "read_file_meta_info", fail)

    (answer,) = sent(archive_with(), item)

    assert answer.outcome is Outcome.POSTPONED
    assert "cannot be read" in answer.status


def test_file_that_is_no_dicom_is_refused(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    item = result_object()
    item.file.write_bytes(b"not DICOM")

    (answer,) = sent(archive_with(), item)

    assert answer.outcome is Outcome.REFUSED


# The library leaves the socket open that it could not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_archive_that_does_not_listen_is_down(result_object: MakeObject) -> None:
    sender = CStoreSender(destination(free_port()), calling_ae_title="MAMMOCLIP")

    with pytest.raises(DestinationDownError, match="does not answer"):
        list(sender.send([result_object()]))
    gc.collect()


def test_archive_that_rejects_the_association_is_down(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    archive = archive_with(title="ANOTHER")

    with pytest.raises(DestinationDownError) as caught:
        sent(archive, result_object(), result_object())

    assert str(caught.value) == (
        f"archive at 127.0.0.1:{archive.port} (AE title ARCHIVE) rejected the association: "
        "it is not called by this AE title. Correct ae_title under [[destinations]]."
    )


def test_rejection_by_an_archive_that_hangs_up_at_once_is_told_as_one(
    archive_with: Callable[..., Archive],
) -> None:
    archive = archive_with(title="ANOTHER")

    def look_late(event: evt.Event) -> None:
        """Hold the thread that waits for the answer until the archive has hung up."""
        network = event.assoc.dul
        wait_for(
            lambda: network.peek_next_pdu() and not network.socket._is_connected,
            seconds=10,
            what="the archive has rejected the association, and is gone",
        )

    with (
        Deadline() as deadline,
        pytest.raises(DestinationDownError, match=r"rejected the association: it is not called"),
    ):
        associate(
            destination(archive.port),
            "MAMMOCLIP",
            [(str(Verification), str(ImplicitVRLittleEndian))],
            deadline=deadline,
            handlers=[(evt.EVT_REQUESTED, look_late)],
        )


def test_archive_that_does_not_know_the_node_says_so_in_words(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    archive = archive_with(callers=("ANOTHER",))

    with pytest.raises(DestinationDownError) as caught:
        sent(archive, result_object())

    assert "it does not know the calling AE title MAMMOCLIP. Enter it at" in str(caught.value)


def test_archive_that_aborts_in_the_middle_is_down_after_what_it_took(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    archive = archive_with(abort_at=1)
    sender = CStoreSender(destination(archive.port), calling_ae_title="MAMMOCLIP")
    answers = []

    with pytest.raises(DestinationDownError, match="ended"):
        for answer in sender.send([result_object() for _ in range(3)]):
            answers.append(answer)

    assert [answer.outcome for answer in answers] == [Outcome.ACCEPTED]


def test_caller_that_stops_early_leaves_no_association(
    archive_with: Callable[..., Archive], result_object: MakeObject
) -> None:
    archive = archive_with()
    sender = CStoreSender(destination(archive.port), calling_ae_title="MAMMOCLIP")
    answers = sender.send([result_object(), result_object()])

    next(answers)
    answers.close()

    assert len(archive.received) == 1
    assert archive.released == 1


def test_kind_of_a_destination_chooses_its_sender() -> None:
    assert isinstance(sender_for(destination(104), calling_ae_title="X"), CStoreSender)


def test_file_goes_out_as_it_is_without_being_decoded(
    archive_with: Callable[..., Archive],
    result_object: MakeObject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive, item = archive_with(), result_object()
    content = item.file.read_bytes()

    def decoded(*_: object, **__: object) -> None:
        pytest.fail("the whole file was decoded to be encoded again")

    monkeypatch.setattr(association, "dcmread", decoded)
    monkeypatch.setattr(association, "encode", decoded)
    (answer,) = sent(archive, item)

    assert answer.outcome is Outcome.ACCEPTED
    assert archive.received[0][1] == content[content_offset(item.file) :]


def test_answer_in_two_parts_waits_for_no_acknowledgement_of_ours(
    archive_with: Callable[..., Archive],
    result_object: MakeObject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once: list[int] = []
    original = AssociationSocket.recv

    def recv(self: AssociationSocket, count: int) -> bytearray:
        if type(self) is not AssociationSocket and self.socket is not None:  # not the archive's
            at_once.append(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))
        return original(self, count)

    monkeypatch.setattr(AssociationSocket, "recv", recv)
    sent(archive_with(), result_object())

    assert at_once
    assert all(at_once)
