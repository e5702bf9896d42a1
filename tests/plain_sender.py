"""A storage SCU on a plain socket, which sends whatever UID and bytes it is given."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

ABORTED = "aborted"
NOT_ACCEPTED = "not accepted"
_SECONDS = 10


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def _pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBL", kind, 0, len(content)) + content


def _element(number: int, value: bytes) -> bytes:
    value += bytes(len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


class PlainSender:
    """One association with one presentation context."""

    def __init__(self, port: int, sop_class: str, syntax: str, calling: str) -> None:
        self._sop_class = sop_class.encode()
        self._line = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
        context = bytes([1, 0, 0, 0]) + _item(0x30, self._sop_class) + _item(0x40, syntax.encode())
        user = _item(0x51, struct.pack(">L", 16382)) + _item(0x52, b"1.2.826.0.1.3680043.8.498.1")
        fixed = struct.pack(">HH", 1, 0) + b"MAMMOCLIP".ljust(16) + calling.encode().ljust(16)
        items = _item(0x10, b"1.2.840.10008.3.1.1.1") + _item(0x20, context) + _item(0x50, user)
        try:
            self._line.sendall(_pdu(1, fixed + bytes(32) + items))
            kind, answer = self._read()
        except OSError:
            self._line.close()
            raise
        accepted = answer.find(b"\x21\x00")
        self.is_accepted = kind == 2 and answer[accepted + 6] == 0

    def store(self, content: bytes, uid: bytes) -> int | str:
        """Send one object; return the status, or how the association ended."""
        if not self.is_accepted:
            return NOT_ACCEPTED
        body = b"".join(
            _element(number, value)
            for number, value in (
                (0x0002, self._sop_class),
                (0x0100, struct.pack("<H", 1)),
                (0x0110, struct.pack("<H", 1)),
                (0x0700, struct.pack("<H", 0)),
                (0x0800, struct.pack("<H", 1)),
                (0x1000, uid),
            )
        )
        command = _element(0, struct.pack("<L", len(body))) + body
        try:
            self._send(command, is_command=True)
            self._send(content, is_command=False)
            kind, answer = self._read()
        except (ConnectionError, TimeoutError):
            return ABORTED
        status = answer.find(struct.pack("<HHL", 0, 0x0900, 2))
        if kind != 4 or status < 0:
            return ABORTED
        return int.from_bytes(answer[status + 8 : status + 10], "little")

    def close(self) -> None:
        """Release the association if it is still there."""
        try:
            self._line.sendall(_pdu(5, bytes(4)))
            self._read()
        except (ConnectionError, TimeoutError):
            pass
        self._line.close()

    def _send(self, content: bytes, *, is_command: bool) -> None:
        size = 16_000
        for at in range(0, max(len(content), 1), size):
            flags = is_command | (at + size >= len(content)) << 1
            part = content[at : at + size]
            self._line.sendall(_pdu(4, struct.pack(">LBB", len(part) + 2, 1, flags) + part))

    def _read(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBL", self._exactly(6))
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            more = self._line.recv(count - len(content))
            if not more:
                raise ConnectionResetError
            content += more
        return content


@contextmanager
def plain_sender(
    port: int, sop_class: str, syntax: str, calling: str = "HOSTILE"
) -> Iterator[PlainSender]:
    sender = PlainSender(port, sop_class, syntax, calling)
    try:
        yield sender
    finally:
        sender.close()
