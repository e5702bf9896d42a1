"""A destination that does not let the node in gets what waits once it does, without a person."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from sqlalchemy import update
from test_delivery_tasks import Archive
from unit.dicom_node.node_factory import Reception
from unit.dicom_node.send.stow_double import taken
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.ways_out.destinations import (
    Destination,
    DicomDestination,
    DicomwebDestination,
)
from dicom_node.studies.ledger.destinations.circuits import circuits
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.site_tables import DestinationState
from dicom_node.studies.ledger.states import TAKEN, DeliveryState
from dicom_node.studies.ledger.tables import Delivery
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime


class WebArchive:
    """A STOW-RS archive that answers with one status; with 200 it takes everything."""

    def __init__(self) -> None:
        self.status = 200
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                part = dcmread(
                    BytesIO(body[body.index(b"\r\n\r\n") + 4 :]), stop_before_pixels=True
                )
                text = json.dumps(taken(part.SOPInstanceUID) if archive.status == 200 else {})
                self.send_response(archive.status)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.destination = DicomwebDestination(
            kind="dicomweb", name="archive", url=f"http://127.0.0.1:{self.server.server_port}/dicom"
        )


@pytest.fixture
def web() -> Iterator[WebArchive]:
    archive = WebArchive()
    with archive.server:
        thread = threading.Thread(target=archive.server.serve_forever, args=(0.05,))
        thread.start()
        yield archive
        archive.server.shutdown()
        thread.join()


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive.start()
    archive.stop()


@pytest.fixture
def delivering(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> Callable[[Destination], Runtime]:
    """Return what makes a worker that has the results of a study for a destination."""

    def build(destination: Destination) -> Runtime:
        node = runtime_with(destinations=(destination,))
        reception.receive(shown_mammogram())
        run_analysis(node, due_analysis(reception))
        return node

    return build


def attempted(node: Runtime) -> Delivery:
    """Attempt the delivery as if the time of its next attempt had come; return its row."""
    with node.database.writing() as session:
        now = datetime.now(UTC)
        session.execute(update(Delivery).values(due_at=now))
        session.execute(update(DestinationState).values(probe_at=now))
    attempt_delivery(node, 1)
    with node.database.reading() as session:
        return session.get_one(Delivery, 1)


def reason(node: Runtime, row: Delivery) -> str:
    """Return all that the ledger says of why the delivery waits."""
    with node.database.reading() as session:
        known = circuits(session, at=database_time(session)).values()
        return " ".join([row.reason, *(one.reason for one in known)])


@pytest.mark.parametrize("status", [401, 403])
def test_stow_destination_with_wrong_credentials_gets_all_once_they_are_right(
    delivering: Callable[[Destination], Runtime], web: WebArchive, status: int
) -> None:
    node = delivering(web.destination)
    web.status = status
    for _ in range(3):
        row = attempted(node)
        assert row.state is DeliveryState.DUE
        assert f"HTTP {status} (check the credentials" in reason(node, row)
    web.status = 200

    assert attempted(node).state in TAKEN


def test_archive_that_does_not_know_the_node_gets_all_once_it_does(
    delivering: Callable[[Destination], Runtime], archive: Archive
) -> None:
    node = delivering(
        DicomDestination(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=archive.port)
    )
    archive.know("ANOTHER")
    for _ in range(3):
        row = attempted(node)
        assert row.state is DeliveryState.DUE
        assert "it does not know the calling AE title MAMMOCLIP" in reason(node, row)
    archive.know("MAMMOCLIP")

    assert attempted(node).state in TAKEN
