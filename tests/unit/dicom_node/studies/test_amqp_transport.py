"""What cannot be decoded of a message breaks no connection; the message comes without it."""

import struct
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from raw_properties import RAW_PROPERTIES, basic_properties

from dicom_node.studies.amqp_transport import _handler_of_frames
from worker.queue.messages import UnwantedMessageError, work_of

DELIVER = struct.pack(">HH", 60, 60)


def received(properties: bytes, *, key: bytes = b"gpu") -> tuple[bytes, Any]:
    """Return announcement and content of a message of a RabbitMQ server."""
    taken: list[tuple[bytes, Any]] = []

    def take(_channel: int, _method: Any, announcement: bytes, message: Any) -> None:
        taken.append((announcement, message))

    on_frame = _handler_of_frames(SimpleNamespace(bytes_recv=0), take)
    names = b"\x00" + bytes([len(key)]) + key
    on_frame((1, 1, DELIVER + b"\x03tag" + bytes(7) + b"\x05\x00" + names))
    on_frame((2, 1, struct.pack(">HHQ", 60, 0, 2) + properties))
    assert on_frame((3, 1, b"{}"))
    return taken[0]


@pytest.mark.parametrize("name", RAW_PROPERTIES)
def test_message_that_cannot_be_decoded_is_none_of_ours(name: str) -> None:
    _, message = received(RAW_PROPERTIES[name])

    assert message.body == b"{}"
    with pytest.raises(UnwantedMessageError, match="it names no task"):
        work_of(message.headers or {}, message.body, content_type=None, content_encoding=None)


def test_message_that_can_be_decoded_keeps_its_properties() -> None:
    _, message = received(basic_properties(b"\x04taskS" + struct.pack(">I", 3) + b"abc"))

    assert message.properties == {"application_headers": {"task": "abc"}}


@pytest.mark.parametrize(("key", "read"), [(b"gpu", "gpu"), (b"\xff", ""), (b"\xed\xa0\x80", "")])
def test_key_that_is_no_text_is_left_out(key: bytes, read: str) -> None:
    announcement, _ = received(b"\x00\x00", key=key)

    values, _ = amqp.serialization.loads("sLbss", announcement, 4)
    assert values == ["tag", 5, False, "", read]


def test_key_of_the_greatest_length_is_kept() -> None:
    announcement, _ = received(b"\x00\x00", key=b"x" * 255)

    assert announcement.endswith(b"x" * 255)
