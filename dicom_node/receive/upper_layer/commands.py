"""Command sets of DIMSE messages: decoded within bounds, and encoded (PS3.7 6.3)."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from dicom_node.receive.upper_layer.pdus import AbortReason, ProtocolError

COMMAND_BYTES: Final = 131_072
"""Largest command set; that of a C-STORE request has about 200 bytes."""

_ELEMENT: Final = struct.Struct("<HHL")
_LONGEST_TITLE: Final = 16
_NO_DATA_SET: Final = 0x0101
_WITH_DATA_SET: Final = 0x0001
_RESPONSE: Final = 0x8000


class CommandField(IntEnum):
    """The requests that the node answers, and the one that it may ignore (PS3.7 E.1)."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_EVENT_REPORT_RESPONSE = 0x8100
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    C_CANCEL = 0x0FFF


@dataclass(frozen=True, slots=True)
class Command:
    """A DIMSE request.

    Attributes
    ----------
    field : (0000,0100)
    message_id : (0000,0110)
    has_data_set : bool
        Whether a data set follows (0000,0800).
    sop_class_uid, sop_instance_uid : bytes
        (0000,0002) and (0000,1000) as they came, without padding; may hold anything. Of an N-ACTION
        or N-SET request (0000,0003) and (0000,1001), which its response returns as these.
    event_type : bytes
        Event Type ID (0000,1002) of a report, as it came; empty where some archives leave it out.
    action_type : bytes
        Action Type ID (0000,1008) as it came.
    move_originator : bytes
        AE title of whoever has asked the sender by C-MOVE to send it (0000,1030); else empty.
    status : of a response, which has the Message ID of what it answers
    """

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: bytes
    sop_instance_uid: bytes
    event_type: bytes = b""
    action_type: bytes = b""
    move_originator: bytes = b""
    status: int = 0


def decode_command(encoded: bytes) -> Command:
    """Decode the command set of a request, which is always Implicit VR Little Endian.

    Raises
    ------
    ProtocolError
        It is not a command set, lacks what every request has, or is a response.
    """
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(encoded):
        if len(encoded) - at < _ELEMENT.size:
            raise _invalid("the command set is cut off")
        group, element, length = _ELEMENT.unpack_from(encoded, at)
        at += _ELEMENT.size
        if group or length > len(encoded) - at:
            raise _invalid("the command set is not one of group 0000")
        elements[element] = encoded[at : at + length]
        at += length
    field = _number(elements, 0x0100)
    is_response = field == CommandField.N_EVENT_REPORT_RESPONSE
    if field & _RESPONSE and not is_response:
        raise _invalid(f"response 0x{field:04X} to nothing that the node asked")
    cancels = field == CommandField.C_CANCEL
    acts = field in {CommandField.N_ACTION, CommandField.N_SET}
    return Command(
        field=field,
        message_id=_number(elements, 0x0120 if cancels or is_response else 0x0110),
        has_data_set=_number(elements, 0x0800) != _NO_DATA_SET,
        sop_class_uid=elements.get(0x0003 if acts else 0x0002, b"").rstrip(b"\0 "),
        sop_instance_uid=elements.get(0x1001 if acts else 0x1000, b"").rstrip(b"\0 "),
        event_type=elements.get(0x1002, b""),
        action_type=elements.get(0x1008, b""),
        move_originator=elements.get(0x1030, b"")[:_LONGEST_TITLE].strip(b"\0 "),
        status=_number(elements, 0x0900) if is_response else 0,
    )


def encode_event_report(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type: int
) -> bytes:
    """Encode the command set of an N-EVENT-REPORT request, which a data set follows."""
    return _encoded(
        [
            (0x0002, _uid(sop_class_uid.encode())),
            (0x0100, struct.pack("<H", CommandField.N_EVENT_REPORT)),
            (0x0110, struct.pack("<H", message_id)),
            (0x0800, struct.pack("<H", _WITH_DATA_SET)),
            (0x1000, _uid(sop_instance_uid.encode())),
            (0x1002, struct.pack("<H", event_type)),
        ]
    )


def encode_response(command: Command, status: int) -> bytes:
    """Encode the command set of the response to a request."""
    return _encoded(
        [
            (0x0002, _uid(command.sop_class_uid)),
            (0x0100, struct.pack("<H", command.field | _RESPONSE)),
            (0x0120, struct.pack("<H", command.message_id)),
            (0x0800, struct.pack("<H", _NO_DATA_SET)),
            (0x0900, struct.pack("<H", status)),
            (0x1000, _uid(command.sop_instance_uid)),
            (0x1002, command.event_type[:2]),
            (0x1008, command.action_type[:2]),
        ]
    )


def _encoded(elements: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(
        _ELEMENT.pack(0, element, len(value)) + value for element, value in elements if value
    )
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(body)) + body


def _uid(value: bytes) -> bytes:
    """Return a UID to send back, padded; none if it is longer than a UID may be."""
    return b"" if len(value) > 64 else value + b"\0" * (len(value) % 2)


def _number(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:
        raise _invalid(f"the command set has no (0000,{element:04X})")
    return int.from_bytes(value, "little")


def _invalid(message: str) -> ProtocolError:
    return ProtocolError(message, AbortReason.INVALID_PARAMETER)
