"""Receivers of HL7 messages that answer as they are told to."""

import socket
import threading
from collections.abc import Callable

from unit.dicom_node.send.hostile import Script


def read_message(connection: socket.socket) -> bytes:
    """Read one frame as a receiver does."""
    content = b""
    while not content.endswith(b"\x1c\r"):
        chunk = connection.recv(65_536)
        if not chunk:
            return content
        content += chunk
    assert content.startswith(b"\x0b")
    return content[1:-2]


def control_id_of(message: bytes) -> str:
    return message.split(b"\r")[0].split(b"|")[9].decode()


def acknowledgement(code: str, control_id: str) -> bytes:
    return f"\x0bMSH|^~\\&|RIS||||20260102||ACK|7|P|2.5.1\rMSA|{code}|{control_id}\r\x1c\r".encode()


def answering(*codes: str, kept: list[bytes] | None = None) -> Script:
    """Answer each message of a connection with the next code."""

    def script(connection: socket.socket, _over: threading.Event) -> None:
        for code in codes:
            message = read_message(connection)
            if kept is not None:
                kept.append(message)
            connection.sendall(acknowledgement(code, control_id_of(message)))
        connection.recv(1)

    return script


def saying(*chunks: Callable[[str], bytes], pause: float = 0) -> Script:
    """Answer a message with chunks that are made of its control ID."""

    def script(connection: socket.socket, over: threading.Event) -> None:
        control_id = control_id_of(read_message(connection))
        for chunk in chunks:
            connection.sendall(chunk(control_id))
            if pause and over.wait(pause):
                return
        connection.recv(1)

    return script
