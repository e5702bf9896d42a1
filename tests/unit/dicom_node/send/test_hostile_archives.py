"""Deliveries to archives that stop in mid-answer end in time, with the reason in words."""

import socket
import struct
import threading
from collections.abc import Callable

import pytest
from archive import destination
from hostile import (
    Script,
    acceptance,
    after_association,
    after_request_of_http,
    read_pdu,
    sends,
    sends_without_end,
    serving,
    trickles,
)
from ports import free_port
from raw_peer import ASSOCIATE_AC, pdu

from dicom_node.commands.checks.check import run_checks
from dicom_node.errors import DestinationDownError
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import DicomDestination, DicomwebDestination

MakeObject = Callable[..., ObjectToSend]

# The tests' own limits are 30 s: an exchange without a deadline waits for minutes.
pytestmark = pytest.mark.timeout(30)

P_DATA = struct.pack(">BBL", 4, 0, 200)
ENDLESS_FRAGMENT = struct.pack(">BBLLBB", 4, 0, 1006, 1002, 1, 1) + bytes(1000)

C_STORE: dict[str, Script] = {
    "silence from the start": sends(b""),
    "silence within the A-ASSOCIATE-AC": sends(struct.pack(">BBL", 2, 0, 200) + bytes(20)),
    "an A-ASSOCIATE-AC byte by byte": trickles(struct.pack(">BBL", 2, 0, 5000), bytes(5000)),
    "an A-ASSOCIATE-AC of 4 GB": sends_without_end(
        struct.pack(">BBL", 2, 0, 2**32 - 1), bytes(65536)
    ),
    "silence after the object": after_association(sends(b"")),
    "3 bytes of an answer": after_association(sends(P_DATA[:3])),
    "20 bytes of an answer": after_association(sends(P_DATA + bytes(14))),
    "an answer byte by byte": after_association(trickles(P_DATA, bytes(200))),
    "a head byte by byte": after_association(trickles(b"", bytes([4, 0, 0, 0, 0, 200]), 0.15)),
    "a PDU of unknown type": after_association(sends(b"\xff\x00\x00\x00\x00\x04abcd")),
    "PDUs of unknown type without end": after_association(sends_without_end(b"", b"\xff" * 4096)),
    "a PDU of 4 GB": after_association(
        sends_without_end(struct.pack(">BBL", 4, 0, 2**32 - 1), bytes(65536))
    ),
    "an answer in fragments without end": after_association(
        sends_without_end(b"", ENDLESS_FRAGMENT)
    ),
}

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
STOW: dict[str, Script] = {
    "silence": sends(b""),
    "a status line byte by byte": trickles(b"", b"HTTP/1.1 200 OK" * 20),
    "a body byte by byte": trickles(OK + b"Content-Length: 900\r\n\r\n", b" " * 900),
    "a body byte by byte, as long as the connection": trickles(OK + b"\r\n", b" " * 900),
    "chunks byte by byte": trickles(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 150, 0.02
    ),
    "1xx answers without end": sends_without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 without end": trickles(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 20, 0.01),
}
BOUNDED: dict[str, bytes] = {
    "an endless body": b" " * 65536,
    "JSON of brackets": b"[" * 65536,
    "JSON of objects": b'{"a":' * 16384,
}


def dicomweb(port: int) -> DicomwebDestination:
    return DicomwebDestination(
        kind="dicomweb",
        name="web",
        url=f"http://127.0.0.1:{port}/dicom-web",
        timeout_seconds=0.4,
        exchange_seconds=0.8,
    )


def attempt(archive: DicomDestination | DicomwebDestination, *items: ObjectToSend) -> list[Answer]:
    return list(sender_for(archive, calling_ae_title="MAMMOCLIP").send(items))


# The library's own thread may meet what comes after it has closed the connection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("script", C_STORE.values(), ids=C_STORE)
def test_association_that_is_not_answered_ends_in_time(
    script: Script, result_object: MakeObject
) -> None:
    before = set(threading.enumerate())
    with serving(script) as port:
        archive = destination(port, timeout_seconds=0.4, exchange_seconds=0.8)

        with pytest.raises(DestinationDownError, match=r"answer|ended"):
            attempt(archive, result_object())

    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("maximum", [1, 6, 7, 1023])
def test_archive_that_takes_only_crumbs_is_sent_nothing(
    maximum: int, result_object: MakeObject
) -> None:
    # Each crumb would be a packet, and an object millions of them.
    with serving(after_association(sends(b""), maximum_pdu=maximum)) as port:
        archive = destination(port, timeout_seconds=0.4, exchange_seconds=0.8)

        with pytest.raises(DestinationDownError, match=f"no more than {maximum} bytes"):
            attempt(archive, result_object())


def accepts_in_an_answer_cut_after(items: int) -> Script:
    """Accept the association in an answer that ends after so many items, by its own length."""

    def script(connection: socket.socket, over: threading.Event) -> None:
        with connection.makefile("rb") as stream:
            whole = acceptance(read_pdu(stream))
            end = 74
            for _ in range(items):
                end += 4 + struct.unpack(">H", whole[end + 2 : end + 4])[0]
            connection.sendall(pdu(ASSOCIATE_AC, whole[6:end]))
            over.wait(60)

    return script


# The application context, two presentation contexts, and user information, which is left out.
@pytest.mark.parametrize("items", [0, 1, 2, 3])
def test_archive_whose_acceptance_is_cut_refuses_nothing_for_good(
    items: int, result_object: MakeObject
) -> None:
    with serving(accepts_in_an_answer_cut_after(items)) as port:
        archive = destination(port, timeout_seconds=0.4, exchange_seconds=0.8)

        with pytest.raises(DestinationDownError, match="an answer that is cut"):
            attempt(archive, result_object())


@pytest.mark.parametrize("script", STOW.values(), ids=STOW)
def test_request_that_is_not_answered_ends_in_time(
    script: Script, result_object: MakeObject
) -> None:
    with (
        serving(after_request_of_http(script)) as port,
        pytest.raises(DestinationDownError, match="answer"),
    ):
        attempt(dicomweb(port), result_object())


@pytest.mark.parametrize("chunk", BOUNDED.values(), ids=BOUNDED)
def test_answer_that_never_ends_is_cut_and_the_object_postponed(
    chunk: bytes, result_object: MakeObject
) -> None:
    script = after_request_of_http(sends_without_end(OK + b"\r\n", chunk))
    with serving(script) as port:
        archive = dicomweb(port).model_copy(update={"exchange_seconds": 20.0})

        (answer,) = attempt(archive, result_object())

    assert answer.outcome is Outcome.POSTPONED


def test_chunk_of_less_than_nothing_is_no_answer(result_object: MakeObject) -> None:
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc"
    with (
        serving(after_request_of_http(sends(answer))) as port,
        pytest.raises(DestinationDownError, match="web does not answer"),
    ):
        attempt(dicomweb(port), result_object())


def test_answers_that_announce_another_one_are_passed_over(result_object: MakeObject) -> None:
    announced = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    last = b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n"
    with serving(after_request_of_http(sends(announced + last))) as port:
        (answer,) = attempt(dicomweb(port), result_object())

    assert (answer.outcome, answer.status) == (Outcome.POSTPONED, "HTTP 507")


def test_redirection_with_a_body_that_never_ends_is_not_read(result_object: MakeObject) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /dicom-web/other\r\n\r\n"
    with serving(after_request_of_http(sends_without_end(head, bytes(65536)))) as port:
        archive = dicomweb(port).model_copy(update={"exchange_seconds": 20.0})

        with pytest.raises(DestinationDownError, match="redirects without end"):
            attempt(archive, result_object())


@pytest.mark.parametrize("target", [b"http://[::1/", b"file:///etc/passwd", b"//\\:x/"])
def test_redirection_to_what_is_no_archive_is_told(
    target: bytes, result_object: MakeObject
) -> None:
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + target + b"\r\n\r\n"
    with (
        serving(after_request_of_http(sends(head))) as port,
        pytest.raises(DestinationDownError, match="redirects to another server"),
    ):
        attempt(dicomweb(port), result_object())


HANDSHAKES: dict[str, Script] = {
    "silence": sends(b""),
    "silence within a ServerHello": sends(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"),
    "a ServerHello byte by byte": trickles(b"\x16\x03\x03\x3f\xff", bytes(16383)),
    "records without end": sends_without_end(b"", b"\x16\x03\x03\x00\x04\x02\x00\xff\xff"),
    "alerts without end": sends_without_end(b"", b"\x15\x03\x03\x00\x02\x01\x5a"),
}


@pytest.mark.parametrize("script", HANDSHAKES.values(), ids=HANDSHAKES)
@pytest.mark.parametrize("kind", ["dicom", "web"])
def test_handshake_that_is_not_answered_ends_in_time(
    kind: str, script: Script, result_object: MakeObject
) -> None:
    with serving(script) as port:
        archive: DicomDestination | DicomwebDestination
        if kind == "web":
            archive = dicomweb(port).model_copy(update={"url": f"https://127.0.0.1:{port}/dicom"})
        else:
            archive = destination(port, tls=True, timeout_seconds=0.4, exchange_seconds=0.8)

        with pytest.raises(DestinationDownError, match=r"answer|TLS failed"):
            attempt(archive, result_object())


@pytest.mark.parametrize("kind", ["dicom", "web"])
def test_name_servers_that_are_silent_are_not_waited_for(
    kind: str, result_object: MakeObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60) and [])
    archive: DicomDestination | DicomwebDestination = destination(104, timeout_seconds=0.4)
    if kind == "web":
        archive = dicomweb(80).model_copy(update={"url": "http://archive.example/dicom-web"})
    try:
        with pytest.raises(DestinationDownError, match=r"found: no name server answered within"):
            attempt(archive, result_object())
    finally:
        over.set()


@pytest.mark.parametrize("kind", ["dicom", "web"])
def test_name_that_nobody_has_is_told(kind: str, result_object: MakeObject) -> None:
    archive: DicomDestination | DicomwebDestination = destination(104, host="no.such.invalid")
    if kind == "web":
        archive = dicomweb(80).model_copy(update={"url": "http://no.such.invalid/dicom-web"})

    with pytest.raises(DestinationDownError, match="not found"):
        attempt(archive, result_object())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_address_at_which_nobody_listens_is_told_at_once(
    scheme: str, host: str, result_object: MakeObject
) -> None:
    url = f"{scheme}://{host}:{free_port()}/dicom-web"
    archive = dicomweb(80).model_copy(update={"url": url})

    with pytest.raises(DestinationDownError, match="Check that it is running"):
        attempt(archive, result_object())


def test_time_of_an_object_grows_with_its_size() -> None:
    archive = destination(104, exchange_seconds=60, slowest_bytes_per_second=1_000_000)

    assert archive.longest_seconds() == 60
    assert archive.longest_seconds(30_000_000) == 90


def test_reason_names_the_setting(result_object: MakeObject) -> None:
    with (
        serving(after_association(trickles(P_DATA, bytes(200)))) as port,
        pytest.raises(DestinationDownError, match=r"archive: no complete answer.*exchange_seconds"),
    ):
        attempt(destination(port, timeout_seconds=5, exchange_seconds=0.5), result_object())


def test_what_we_send_does_not_wait_for_acknowledgements(
    monkeypatch: pytest.MonkeyPatch, result_object: MakeObject
) -> None:
    options: list[int] = []
    original = socket.socket.connect

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        original(self, address)
        options.append(self.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(socket.socket, "connect", connect)
    with serving(sends(b"")) as port, pytest.raises(DestinationDownError):
        attempt(destination(port, timeout_seconds=0.2), result_object())

    assert options
    assert all(options)


CHECKED: dict[str, tuple[str, Script]] = {
    "C-ECHO with 3 bytes of an answer": ("dicom", C_STORE["3 bytes of an answer"]),
    "C-ECHO answered byte by byte": ("dicom", C_STORE["an answer byte by byte"]),
    "a search answered byte by byte": (
        "web",
        after_request_of_http(STOW["a status line byte by byte"]),
    ),
}


@pytest.mark.parametrize(("kind", "script"), CHECKED.values(), ids=CHECKED)
def test_check_of_a_destination_ends_in_time(kind: str, script: Script) -> None:
    with serving(script) as port:
        archive = (
            dicomweb(port)
            if kind == "web"
            else destination(port, timeout_seconds=0.4, exchange_seconds=0.8)
        )

        problems = {one.name: one.detail for one in run_checks(Settings(destinations=(archive,)))}

    assert "answer" in str(problems[f"destination {archive.name}"])


def test_check_of_a_search_does_not_read_an_answer_without_end() -> None:
    script = after_request_of_http(sends_without_end(OK + b"\r\n", b" " * 65536))
    with serving(script) as port:
        problems = {
            one.name: one.detail for one in run_checks(Settings(destinations=(dicomweb(port),)))
        }

    assert problems["destination web"] == ""


def test_question_that_is_not_answered_ends_in_time(result_object: MakeObject) -> None:
    # After an answer that leaves doubt the archive is asked whether it holds the object.
    def both(connection: socket.socket, over: threading.Event) -> None:
        after_request_of_http(lambda *_: connection.sendall(OK + b"Content-Length: 0\r\n\r\n"))(
            connection, over
        )
        after_request_of_http(STOW["a body byte by byte"])(connection, over)

    with serving(both) as port, pytest.raises(DestinationDownError, match="no complete answer"):
        attempt(dicomweb(port), result_object())
