"""HL7 messages are read within bounds, and what cannot be read is refused for good."""

from collections.abc import Iterator

import pytest
from adt import NEW_ID, adt, merge
from node_factory import PATIENT_ID

from dicom_node.hl7.messages import Message, MessageError, acknowledgement
from dicom_node.hl7.mllp import FrameError, framed, frames
from dicom_node.hl7.patient_updates import PatientId, update_in


def parts_of(*parts: bytes) -> Iterator[bytes]:
    yield from parts
    while True:
        yield b""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_frames_are_found_however_the_bytes_come(size: int) -> None:
    content = framed(b"one") + b"\r\n" + framed(b"two\x1c") + framed(b"")
    parts = parts_of(*(content[at : at + size] for at in range(0, len(content), size)))

    found = list(frames(lambda: next(parts), maximum_bytes=100))

    assert found == [b"one", b"two\x1c", b""]


@pytest.mark.parametrize(
    "content",
    [b"MSH|", b"\x0bendless" + b"x" * 200, b"\x0bcut", framed(b"a") + b"GET / HTTP/1.1"],
)
def test_what_is_no_frame_ends_the_connection(content: bytes) -> None:
    parts = parts_of(content)

    with pytest.raises(FrameError):
        list(frames(lambda: next(parts), maximum_bytes=100))


def test_update_says_who_the_patient_is_now() -> None:
    update = update_in(Message.parse(adt()))

    assert update is not None
    assert update.former == (PatientId(PATIENT_ID, "KLINIK"),)
    assert update.attributes == {
        "PatientID": PATIENT_ID,
        "PatientName": "Richtig^Rita^Maria^Dr",
        "PatientBirthDate": "19610407",
        "PatientSex": "F",
    }


@pytest.mark.parametrize("trigger", ["A18", "A30", "A34", "A39", "A40", "A47"])
def test_merge_says_which_id_takes_whose_place(trigger: str) -> None:
    update = update_in(Message.parse(merge(trigger=trigger)))

    assert update is not None
    assert update.former == (PatientId(PATIENT_ID, "KLINIK"),)
    assert update.attributes["PatientID"] == NEW_ID


@pytest.mark.parametrize("trigger", ["A01", "A03", "A04", "A28", "A60", ""])
def test_message_that_changes_nothing_of_a_study_is_passed_over(trigger: str) -> None:
    assert update_in(Message.parse(adt(trigger))) is None


def test_only_ids_of_the_named_authorities_count() -> None:
    message = Message.parse(adt(pid="1^^^PRAXIS~2^^^KLINIK"))

    update = update_in(message, authorities=("KLINIK",))

    assert update is not None
    assert [one.value for one in update.former] == ["2"]
    with pytest.raises(MessageError, match="names no patient"):
        update_in(message, authorities=("OTHER",))


def test_value_that_is_to_be_deleted_is_empty_and_an_absent_one_stays() -> None:
    update = update_in(Message.parse(adt(name='""', birth="")))

    assert update is not None
    assert update.attributes == {"PatientID": PATIENT_ID, "PatientName": "", "PatientSex": "F"}


@pytest.mark.parametrize(
    ("escaped", "name"), [("M\\T\\S^A", "M&S^A"), ("A\\F\\B", "A|B"), ("\\X41\\", "X41")]
)
def test_escapes_are_what_they_stand_for(escaped: str, name: str) -> None:
    update = update_in(Message.parse(adt(name=escaped)))

    assert update is not None
    assert update.attributes["PatientName"].replace(" ", "").startswith(name.replace("^", "^"))


@pytest.mark.parametrize("charset", ["8859/1", "UNICODE UTF-8", ""])
def test_names_are_read_in_the_character_set_of_the_message(charset: str) -> None:
    content = adt(name="Müller^Zoë", charset=charset or "UNICODE UTF-8")
    if not charset:
        content = content.replace(b"UNICODE UTF-8", b"")

    update = update_in(Message.parse(content))

    assert update is not None
    assert update.attributes["PatientName"] == "Müller^Zoë"


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"MSH",
        b"MSH|||||",
        b"PID|1||7",
        b"\x00\x01\x02",
        adt(charset="KLINGON"),
        adt(name="\xff".encode("latin-1").decode("latin-1")).replace("ÿ".encode(), b"\xff"),
        b"MSH|^~\\&|" + b"\r" * 5000,
        adt(kind="ORU", trigger="R01"),
        adt(pid=""),
        adt(pid='""^^^KLINIK'),
        adt(pid="x" * 65),
        adt(name="x" * 200),
        adt(birth="19XX0101"),
        adt("A40"),
        adt("A40", mrg="^^^KLINIK"),
    ],
    ids=range(16),
)
def test_what_cannot_be_applied_is_refused(hostile: bytes) -> None:
    with pytest.raises(MessageError):
        update_in(Message.parse(hostile))


def test_acknowledgement_names_the_message_and_no_patient() -> None:
    message = Message.parse(adt(control="ID-7"))

    said = Message.parse(acknowledgement(message, "AA"))

    assert said.kind[0] == "ACK"
    assert (said.field("MSA", 1), said.field("MSA", 2)) == ("AA", "ID-7")
    assert (said.field("MSH", 3), said.field("MSH", 5)) == ("MAMMOCLIP", "KIS")
    assert b"MSA|AR||" in acknowledgement(None, "AR", "no\rmessage|at all")
    assert acknowledgement(None, "AR", "no\rmessage|at all").count(b"\r") == 2
