"""A STOW-RS answer of success that comes before the whole object was sent is not believed."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority
from hostile import Script, serving

from dicom_node.errors import DestinationDownError
from dicom_node.send.dicomweb_exchange import exchange_with
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.send.stow_rs import StowSender
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination
from dicom_node.tls import server_context

MakeObject = Callable[..., ObjectToSend]

pytestmark = pytest.mark.timeout(60)

TOO_EARLY = "before it had the whole object"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\nX-Queue: 3\r\n\r\n"


def answer(status: str, content: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/dicom+json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def stored(item: ObjectToSend) -> bytes:
    """Answer that an object was stored, in a Referenced SOP Sequence (PS3.18 I.2)."""
    uid = f'{{"00081155": {{"vr": "UI", "Value": ["{item.sop_instance_uid}"]}}}}'
    content = f'{{"00081199": {{"vr": "SQ", "Value": [{uid}]}}}}'
    return answer("200 OK", content.encode())


def says(early: bytes, in_time: bytes = b"", *, after_headers: bool = True) -> Script:
    """Say something before the request is read, or once its headers are, and when all of it is."""

    def script(connection: socket.socket, over: threading.Event) -> None:
        if not after_headers:
            connection.sendall(early)
        with connection.makefile("rb") as stream:
            fields = {}
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                fields[name.lower()] = value
            if after_headers:
                connection.sendall(early)
            left = int(fields.get(b"content-length", b"0"))
            while left and (part := stream.read(min(left, 65_536))):
                left -= len(part)
            connection.sendall(in_time)
        over.wait(60)

    return script


def stow(
    script: Script, item: ObjectToSend, tls: TlsSettings = NO_CERTIFICATES
) -> tuple[list[Answer], str]:
    """Return the answers that were believed, and why no more were."""
    with serving(script) as port:
        scheme = "http" if tls is NO_CERTIFICATES else "https"
        url = f"{scheme}://localhost:{port}/dicom-web"
        archive = DicomwebDestination(kind="dicomweb", name="web", url=url, timeout_seconds=5)
        try:
            return list(StowSender(archive, tls=tls).send([item])), ""
        except DestinationDownError as error:
            return [], str(error)


@pytest.mark.parametrize("after_headers", [True, False])
def test_success_before_the_whole_was_sent_is_not_believed(
    large_object: MakeObject, after_headers: bool
) -> None:
    made = large_object()

    answers, told = stow(says(stored(made), after_headers=after_headers), made)

    assert (answers, TOO_EARLY in told) == ([], True)


@pytest.mark.parametrize("announced", [CONTINUE, PROCESSING, CONTINUE + PROCESSING * 3])
def test_success_that_was_only_announced_before_is_believed(
    large_object: MakeObject, announced: bytes
) -> None:
    made = large_object()

    answers, told = stow(says(announced, stored(made)), made)

    assert ([one.outcome for one in answers], told) == ([Outcome.ACCEPTED], "")


def test_success_behind_an_announcement_is_early_all_the_same(large_object: MakeObject) -> None:
    made = large_object()

    answers, told = stow(says(PROCESSING + stored(made)), made)

    assert (answers, TOO_EARLY in told) == ([], True)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("413 Too Large", Outcome.REFUSED), ("503 Unavailable", Outcome.POSTPONED)],
)
def test_refusal_may_come_before_the_whole_was_sent(
    large_object: MakeObject, status: str, outcome: Outcome
) -> None:
    answers, told = stow(says(answer(status)), large_object())

    assert ([one.outcome for one in answers], told) == ([outcome], "")


def test_answer_that_was_read_in_part_is_read_whole(large_object: MakeObject) -> None:
    content = b"x" * 100_000
    with serving(says(answer("413 Too Large", content))) as port:
        archive = DicomwebDestination(
            kind="dicomweb", name="web", url=f"http://localhost:{port}", timeout_seconds=5
        )
        with exchange_with(archive) as exchange:
            reply = exchange.request("POST", "studies", large_object().file.read_bytes())

    assert (reply.status, reply.content) == (413, content)


def test_success_that_comes_early_over_tls_is_not_believed(
    tmp_path: Path, large_object: MakeObject
) -> None:
    authority = Authority(tmp_path / "authority")
    tls = authority.settings(authority.issue("localhost"))
    context = server_context(tls, asks_for_certificate=False)

    def secured(script: Script) -> Script:
        def serve(connection: socket.socket, over: threading.Event) -> None:
            with context.wrap_socket(connection, server_side=True) as line:
                assert line.version() == "TLSv1.3"  # which sends tickets before anything is asked
                script(line, over)

        return serve

    made = large_object()

    early, told = stow(secured(says(stored(made))), made, tls)
    in_time, _ = stow(secured(says(b"", stored(made))), made, tls)

    assert (early, TOO_EARLY in told) == ([], True)
    assert [one.outcome for one in in_time] == [Outcome.ACCEPTED]
