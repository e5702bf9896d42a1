"""A STOW-RS service that answers as a test wants it to, and sending to it."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dicom_node.send.outcome import Answer, ObjectToSend
from dicom_node.send.stow_rs import StowSender
from dicom_node.settings.ways_out.destinations import DicomwebDestination

REFERENCED, FAILED, OTHERS = "00081199", "00081198", "0008119A"


def item_of(uid: str, reason: int | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
    if reason is not None:
        item["00081197"] = {"vr": "US", "Value": [reason]}
    return item


def taken(uid: str) -> dict[str, Any]:
    return {REFERENCED: {"vr": "SQ", "Value": [item_of(uid)]}}


def failed(uid: str, reason: int) -> dict[str, Any]:
    return {FAILED: {"vr": "SQ", "Value": [item_of(uid, reason)]}}


def failed_without_uid(reason: int) -> dict[str, Any]:
    """Say that objects failed of which the archive could read no UID (PS3.18 I.2)."""
    return {OTHERS: {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [reason]}}]}}


@dataclass
class Answering:
    """What the server says, and what it was asked."""

    port: int
    status: int = 200
    document: Callable[[str], Any] = taken
    content_type: str = "application/dicom+json"
    uids: list[str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    silent: threading.Event | None = None
    statuses: list[int] = field(default_factory=list)


@pytest.fixture
def archive() -> Iterator[Answering]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._read_request()
            if answering.silent is not None:
                answering.silent.wait(30)
                self.close_connection = True
                return
            document = answering.document(answering.uids.pop(0) if answering.uids else "1.2.3")
            text = document if isinstance(document, str) else json.dumps(document)
            statuses = answering.statuses
            self.send_response(statuses.pop(0) if statuses else answering.status)
            self.send_header("Content-Type", answering.content_type)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def _read_request(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            answering.requests.append((self.path, dict(self.headers), body))

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        answering = Answering(server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield answering
        server.shutdown()


def destination(port: int, **changes: Any) -> DicomwebDestination:
    url = f"http://127.0.0.1:{port}/dicom-web/"
    values = {"kind": "dicomweb", "name": "web", "url": url, "timeout_seconds": 5}
    return DicomwebDestination(**{**values, **changes})


def sent(archive: Answering, *objects: ObjectToSend, **changes: Any) -> list[Answer]:
    archive.uids = [item.sop_instance_uid for item in objects]
    return list(StowSender(destination(archive.port, **changes)).send(objects))
