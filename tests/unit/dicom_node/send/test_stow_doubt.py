"""STOW-RS answers that leave a doubt, which the archive settles, and redirects."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dicom_node.errors import DestinationDownError
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.send.stow_rs import StowSender
from dicom_node.settings.ways_out.destinations import DicomwebDestination

MakeObject = Callable[..., ObjectToSend]
JSON = "application/dicom+json"


def referring_to(uid: str) -> dict[str, Any]:
    item = {"00081155": {"vr": "UI", "Value": [uid]}}
    return {"00081199": {"vr": "SQ", "Value": [item]}}


def failing(uid: str, reason: int) -> dict[str, Any]:
    item = {
        "00081155": {"vr": "UI", "Value": [uid]},
        "00081197": {"vr": "US", "Value": [reason]},
    }
    return {"00081198": {"vr": "SQ", "Value": [item]}}


@dataclass
class WebArchive:
    """Answers STOW-RS as a test says, and QIDO-RS and WADO-RS by what it holds."""

    port: int = 0
    status: int = 200
    content: bytes = b""
    media_type: str = JSON
    location: str = ""
    holds: set[str] = field(default_factory=set)
    answers: tuple[str, ...] = ("instances", "metadata")
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def says(self, document: Any, status: int = 200) -> None:
        self.content, self.status = json.dumps(document).encode(), status


def handler_of(archive: WebArchive) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            archive.asked.append(f"POST {self.path}")
            archive.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            location = archive.location if self.path == "/dicom-web/studies" else ""
            status = 307 if location else archive.status
            self._answer(status, archive.content, archive.media_type, location)

        def do_GET(self) -> None:
            archive.asked.append(f"GET {self.path}")
            path, _, query = self.path.partition("?")
            service = path.rpartition("/")[2]
            uid = query.partition("=")[2] or path.split("/")[-2]
            if service not in archive.answers:
                self._answer(404, b"", "text/plain")
            elif uid in archive.holds:
                found = [{"00080018": {"vr": "UI", "Value": [uid]}}]
                self._answer(200, json.dumps(found).encode(), JSON)
            else:
                self._answer(200 if service == "instances" else 404, b"[]", JSON)

        def _answer(self, status: int, content: bytes, kind: str, location: str = "") -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            if status != 204:
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status != 204:
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def start() -> Iterator[Callable[[], WebArchive]]:
    servers: list[ThreadingHTTPServer] = []

    def build() -> WebArchive:
        archive = WebArchive()
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(archive))
        server.daemon_threads = True
        archive.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return archive

    yield build
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def archive(start: Callable[[], WebArchive]) -> WebArchive:
    return start()


def sent(archive: WebArchive, *objects: ObjectToSend) -> list[Answer]:
    destination = DicomwebDestination(
        kind="dicomweb",
        name="web",
        url=f"http://127.0.0.1:{archive.port}/dicom-web",
        timeout_seconds=5,
    )
    return list(StowSender(destination).send(objects))


def test_answer_in_an_array_is_understood(archive: WebArchive, result_object: MakeObject) -> None:
    item = result_object()
    archive.says([referring_to("9.9"), referring_to(item.sop_instance_uid)])

    (answer,) = sent(archive, item)

    assert (answer.outcome, answer.status) == (Outcome.ACCEPTED, "HTTP 200")
    assert archive.asked == ["POST /dicom-web/studies"]


def test_conflict_in_an_array_that_says_already_there_is_delivered(
    archive: WebArchive, result_object: MakeObject
) -> None:
    item = result_object()
    archive.says([failing(item.sop_instance_uid, 0x0111)], status=409)

    (answer,) = sent(archive, item)

    assert (answer.outcome, answer.status) == (Outcome.ACCEPTED, "0x0111")


@pytest.mark.parametrize("answers", [("instances", "metadata"), ("instances",), ("metadata",)])
@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_empty_success_is_settled_by_asking_the_archive(
    archive: WebArchive, result_object: MakeObject, status: int, answers: tuple[str, ...]
) -> None:
    item = result_object()
    archive.status, archive.holds, archive.answers = status, {item.sop_instance_uid}, answers

    (answer,) = sent(archive, item)

    assert answer.outcome is Outcome.ACCEPTED
    assert answer.status == f"HTTP {status}, found at the archive"


@pytest.mark.parametrize("answers", [("instances", "metadata"), ()])
@pytest.mark.parametrize("status", [200, 202, 204])
def test_empty_success_of_an_archive_that_holds_nothing_is_not_believed(
    archive: WebArchive, result_object: MakeObject, status: int, answers: tuple[str, ...]
) -> None:
    archive.status, archive.holds, archive.answers = status, {"9.9"}, answers

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.POSTPONED


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        (JSON, b"[" * 100_000),
        (JSON, b"[]"),
        (JSON, b'{"00081199": {"vr": "SQ"}}'),
        (JSON, b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"Value": ["x"]}}]}}'),
        (JSON, b"\xff\xfe"),
        ("application/dicom+xml", b"<a>" * 100_000),
        ("application/dicom+xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        ("text/html", b"<html>stored, thank you</html>"),
        (JSON, b"[" + b" " * 5 * 2**20 + b"]"),
    ],
)
def test_success_in_no_known_words_is_settled_by_asking_the_archive(
    archive: WebArchive, result_object: MakeObject, media_type: str, content: bytes
) -> None:
    held, missing = result_object(), result_object()
    archive.content, archive.media_type = content, media_type
    archive.holds = {held.sop_instance_uid}

    answers = sent(archive, held, missing)

    assert [one.outcome for one in answers] == [Outcome.ACCEPTED, Outcome.POSTPONED]


@pytest.mark.parametrize("reason", [45070, 0x0110, 0xC000])
def test_conflict_about_an_object_that_the_archive_holds_is_delivered(
    archive: WebArchive, result_object: MakeObject, reason: int
) -> None:
    item = result_object()
    archive.says(failing(item.sop_instance_uid, reason), status=409)
    archive.holds = {item.sop_instance_uid}

    (answer,) = sent(archive, item)

    assert (answer.outcome, answer.status) == (Outcome.ACCEPTED, "HTTP 409, found at the archive")


@pytest.mark.parametrize("status", [400, 500])
def test_failure_of_an_object_that_the_archive_holds_is_delivered(
    archive: WebArchive, result_object: MakeObject, status: int
) -> None:
    item = result_object()
    archive.says(failing(item.sop_instance_uid, 0xA700), status=status)
    archive.holds = {item.sop_instance_uid}

    (answer,) = sent(archive, item)

    found = f"HTTP {status}, found at the archive"
    assert (answer.outcome, answer.status) == (Outcome.ACCEPTED, found)


@pytest.mark.parametrize(("status", "outcome"), [(507, Outcome.POSTPONED), (413, Outcome.REFUSED)])
def test_full_archive_is_tried_later_and_a_too_large_object_never(
    archive: WebArchive, result_object: MakeObject, status: int, outcome: Outcome
) -> None:
    archive.status = status

    (answer,) = sent(archive, result_object())

    assert (answer.outcome, answer.status) == (outcome, f"HTTP {status}")
    assert archive.asked == ["POST /dicom-web/studies"]


def test_redirect_within_the_archive_is_followed_with_the_object(
    archive: WebArchive, result_object: MakeObject
) -> None:
    item = result_object()
    archive.says(referring_to(item.sop_instance_uid))
    archive.location = "/dicom-web/v2/studies"

    (answer,) = sent(archive, item)

    assert answer.outcome is Outcome.ACCEPTED
    assert archive.asked == ["POST /dicom-web/studies", "POST /dicom-web/v2/studies"]
    assert item.file.read_bytes() in archive.bodies[1]


def test_redirect_to_another_server_is_not_followed(
    archive: WebArchive, start: Callable[[], WebArchive], result_object: MakeObject
) -> None:
    stranger = start()
    archive.location = f"http://127.0.0.1:{stranger.port}/dicom-web/studies"

    with pytest.raises(DestinationDownError, match="web redirects to another server"):
        sent(archive, result_object())

    assert stranger.asked == []


@pytest.mark.parametrize("location", ["https://127.0.0.1:{port}/x", "http://localhost:{port}/x"])
def test_redirect_to_another_scheme_or_name_is_not_followed(
    archive: WebArchive, result_object: MakeObject, location: str
) -> None:
    archive.location = location.format(port=archive.port)

    with pytest.raises(DestinationDownError, match="redirects to another server"):
        sent(archive, result_object())


def test_redirect_in_a_circle_ends(archive: WebArchive, result_object: MakeObject) -> None:
    archive.location = "/dicom-web/studies"

    with pytest.raises(DestinationDownError, match="redirects without end"):
        sent(archive, result_object())

    assert len(archive.asked) == 4
