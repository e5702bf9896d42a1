"""A peer on a plain socket that writes whatever bytes it likes: odd, broken, slow, or none."""

import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
RELEASE = struct.pack(">BBL", 5, 0, 4) + bytes(4)

ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RP, ABORT = 2, 3, 4, 6, 7


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def pdu(kind: int, content: bytes, *, claims: int | None = None) -> bytes:
    """Encode a PDU that claims its length, or another one."""
    return struct.pack(">BBL", kind, 0, len(content) if claims is None else claims) + content


def context_item(number: int, sop_class: str, *syntaxes: str) -> bytes:
    names = b"".join(item(0x40, one.encode()) for one in syntaxes or (EXPLICIT,))
    return item(0x20, bytes([number, 0, 0, 0]) + item(0x30, sop_class.encode()) + names)


def user_item(*further: bytes, maximum: int = 16382) -> bytes:
    content = item(0x51, struct.pack(">L", maximum)) + item(0x52, b"1.2.826.0.1.3680043.8.498.77.1")
    return item(0x50, content + b"".join(further))


CONTEXTS = context_item(1, FOR_PRESENTATION) + context_item(3, VERIFICATION)


def association_request(
    *,
    called: bytes = b"MAMMOCLIP",
    calling: bytes = b"SCANNER",
    contexts: bytes = CONTEXTS,
    user: bytes | None = None,
    version: int = 1,
    application: bytes = b"1.2.840.10008.3.1.1.1",
    claims: int | None = None,
) -> bytes:
    fixed = struct.pack(">HH", version, 0) + called.ljust(16) + calling.ljust(16) + bytes(32)
    items = item(0x10, application) + contexts + (user_item() if user is None else user)
    return pdu(1, fixed + items, claims=claims)


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def short(number: int) -> bytes:
    return struct.pack("<H", number)


def store_command(
    uid: bytes = b"1.2.3",
    sop_class: bytes = FOR_PRESENTATION.encode(),
    *,
    message_id: int = 1,
    data_set: int = 1,
) -> bytes:
    return command(
        (0x0002, sop_class + b"\0" * (len(sop_class) % 2)),
        (0x0100, short(0x0001)),
        (0x0110, short(message_id)),
        (0x0700, short(0)),
        (0x0800, short(data_set)),
        (0x1000, uid + b"\0" * (len(uid) % 2)),
    )


def echo_command(message_id: int = 1) -> bytes:
    return command(
        (0x0002, VERIFICATION.encode() + b"\0"),
        (0x0100, short(0x0030)),
        (0x0110, short(message_id)),
        (0x0800, short(0x0101)),
    )


def command(*elements: tuple[int, bytes]) -> bytes:
    body = b"".join(element(number, value) for number, value in elements)
    return element(0, struct.pack("<L", len(body))) + body


def pdv(
    content: bytes, *, context: int = 1, is_command: bool = False, is_last: bool = True
) -> bytes:
    return struct.pack(">LBB", len(content) + 2, context, is_command | is_last << 1) + content


def p_data(*pdvs: bytes) -> bytes:
    return pdu(P_DATA, b"".join(pdvs))


def store_request(content: bytes, uid: bytes = b"1.2.3", *, size: int = 16000) -> bytes:
    """Encode a whole C-STORE request, its data set in parts of a size."""
    parts = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
    pdus = [p_data(pdv(store_command(uid), is_command=True))]
    pdus += [
        p_data(pdv(part, is_last=number == len(parts))) for number, part in enumerate(parts, 1)
    ]
    return b"".join(pdus)


class RawPeer:
    """A connection; at the end of its block the node has seen its end, and has told it."""

    def __init__(self, port: int) -> None:
        self.line = socket.create_connection(("127.0.0.1", port), timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self.line, suppress(OSError):
            self.line.shutdown(socket.SHUT_WR)
            while self.line.recv(65_536):
                pass

    def write(self, data: bytes) -> None:
        self.line.sendall(data)

    def read(self) -> tuple[int, bytes]:
        """Return kind and content of the next PDU; kind 0 if the node has hung up."""
        header = self._exactly(6)
        if header is None:
            return 0, b""
        kind, _, length = struct.unpack(">BBL", header)
        return kind, self._exactly(length) or b""

    def status(self) -> int:
        """Return the status of the next response."""
        kind, content = self.read()
        assert kind == P_DATA, f"PDU {kind}: {content!r}"
        at = content.index(struct.pack("<HHL", 0, 0x0900, 2))
        return int.from_bytes(content[at + 8 : at + 10], "little")

    def associate(self, **how: bytes) -> Self:
        try:
            self.write(association_request(**how))  # type: ignore[arg-type]
            kind, content = self.read()
            assert kind == ASSOCIATE_AC, f"PDU {kind}: {content!r}"
        except BaseException:
            self.line.close()
            raise
        return self

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                more = self.line.recv(count - len(data))
            except ConnectionError:
                return None
            if not more:
                return None
            data += more
        return data
