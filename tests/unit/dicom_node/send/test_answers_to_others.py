"""An answer to C-STORE counts for the object that was asked about, and for no other."""

import struct
from collections.abc import Callable

import pytest
from archive import destination
from hostile import serving, speaks_at

from dicom_node.errors import DestinationDownError
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome

MakeObject = Callable[..., ObjectToSend]

pytestmark = pytest.mark.timeout(30)


NEVER = 1000


def success(
    message_id: int,
    *,
    about: str = "",
    field: int = 0x8001,
    context: int = 1,
    status: bytes = bytes(2),
    sop_class: str = "",
) -> bytes:
    """Encode a C-STORE-RSP of status 0x0000 in the first presentation context."""

    def element(number: int, content: bytes) -> bytes:
        content += b"\0" * (len(content) % 2)
        return struct.pack("<HHL", 0, number, len(content)) + content

    command = (
        (element(0x0002, sop_class.encode()) if sop_class else b"")
        + element(0x0100, struct.pack("<H", field))
        + element(0x0120, struct.pack("<H", message_id))
        + element(0x0800, struct.pack("<H", 0x0101))
        + element(0x0900, status)
        + (element(0x1000, about.encode()) if about else b"")
    )
    command = element(0x0000, struct.pack("<L", len(command))) + command
    return struct.pack(">BBLLBB", 4, 0, len(command) + 6, len(command) + 2, context, 3) + command


def answers_to(made: ObjectToSend, answer: bytes) -> list[Answer]:
    with serving(speaks_at(NEVER, behind=[answer])) as port:
        sender = sender_for(destination(port, timeout_seconds=3), calling_ae_title="MAMMOCLIP")
        return list(sender.send([made]))


@pytest.mark.parametrize("named", [False, True])
def test_answer_to_the_request_is_believed(result_object: MakeObject, named: bool) -> None:
    made = result_object()

    (answer,) = answers_to(made, success(1, about=made.sop_instance_uid if named else ""))

    assert answer.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    "answer",
    [
        success(7),
        success(0),
        success(1, about="1.2.3.4"),
        success(1, sop_class="1.2.3.4"),
        success(1, field=0x8030),
        success(1, field=0x0001),
        success(1, field=0x0100),
        success(1, context=99),
        success(1, status=struct.pack("<HH", 0, 0xA700)),
    ],
    ids=[
        "another",
        "0",
        "object",
        "class",
        "C-ECHO-RSP",
        "C-STORE-RQ",
        "N-EVENT-REPORT-RQ",
        "context",
        "two values of status",
    ],
)
def test_answer_to_another_message_is_not_believed(
    result_object: MakeObject, answer: bytes
) -> None:
    with pytest.raises(DestinationDownError, match="to another message than it was sent"):
        answers_to(result_object(), answer)
