"""Archives that stop in mid-answer, trickle or never end, on real sockets."""

import contextlib
import io
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import build_context
from raw_peer import P_DATA, RELEASE, RELEASE_RP, pdu

RELEASED = pdu(RELEASE_RP, bytes(4))
LAST_OF_DATA_SET = 2
"""Message Control Header of a fragment (PS3.8 E.2)."""

Script = Callable[[socket.socket, threading.Event], None]
"""What an archive does on a connection, until the event says that the test is over."""


@contextlib.contextmanager
def serving(script: Script) -> Iterator[int]:
    """Serve every connection with a script; yield the port."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            script(connection, over)

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(server.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=accept, args=(server,))
        accepting.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join(10)


def sends(head: bytes) -> Script:
    """Send something, then nothing more."""

    def script(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        over.wait(60)

    return script


def trickles(head: bytes, body: bytes, every_seconds: float = 0.05) -> Script:
    """Send something, then one byte after another."""

    def script(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        for byte in body:
            if over.wait(every_seconds):
                return
            connection.sendall(bytes([byte]))

    return script


def sends_without_end(head: bytes, chunk: bytes) -> Script:
    def script(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.is_set():
            connection.sendall(chunk)

    return script


def after_request_of_http(then: Script) -> Script:
    def script(connection: socket.socket, over: threading.Event) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        fields = [line.split(b":", 1) for line in head.split(b"\r\n")[1:]]
        length = next((int(v) for k, v in fields if k.lower() == b"content-length"), 0)
        while len(body) < length:
            body += connection.recv(65536)
        then(connection, over)

    return script


def after_association(then: Script, *, maximum_pdu: int | None = None) -> Script:
    """Accept the association as a whole, read the first P-DATA, then do something."""

    def script(connection: socket.socket, over: threading.Event) -> None:
        with connection.makefile("rb") as stream:
            connection.sendall(acceptance(read_pdu(stream), maximum_pdu))
            read_pdu(stream)
            then(connection, over)

    return script


def speaks_at(
    number: int, *said: bytes, behind: Sequence[bytes] = (), maximum_pdu: int | None = None
) -> Script:
    """Accept the association, say something after so many PDUs, and read on to the end.

    Parameters
    ----------
    number : of PDUs that are read before; 0 is as early as can be, with the acceptance itself
    behind : what is said after each of the data sets, once it was read to its end
    """

    def script(connection: socket.socket, over: threading.Event) -> None:
        due = iter(behind)
        with connection.makefile("rb") as stream:
            head = acceptance(read_pdu(stream), maximum_pdu)
            connection.sendall(head if number else b"".join((head, *said)))
            for count in itertools.count(1):
                received = read_pdu(stream)
                if received[0] == RELEASE[0]:
                    connection.sendall(RELEASED)
                if count == number:
                    connection.sendall(b"".join(said))
                if received[0] == P_DATA and received[11] == LAST_OF_DATA_SET:
                    connection.sendall(next(due, b""))

    return script


def read_pdu(stream: io.BufferedIOBase) -> bytes:
    head = stream.read(6)
    if len(head) < 6:
        raise ConnectionError("the peer has gone")
    return head + stream.read(struct.unpack(">L", head[2:])[0])


def acceptance(request: bytes, maximum_pdu: int | None = None) -> bytes:
    received = A_ASSOCIATE_RQ()
    received.decode(request)
    primitive: A_ASSOCIATE = received.to_primitive()
    primitive.result = 0
    primitive.result_source = 1
    if maximum_pdu is not None:
        primitive.maximum_length_received = maximum_pdu
    results = []
    for asked in primitive.presentation_context_definition_list:
        context = build_context(asked.abstract_syntax, UID(asked.transfer_syntax[0]))
        context.context_id = asked.context_id
        context.result = 0
        results.append(context)
    primitive.presentation_context_definition_results_list = results
    answer = A_ASSOCIATE_AC()
    answer.from_primitive(primitive)
    encoded: bytes = answer.encode()
    return encoded
