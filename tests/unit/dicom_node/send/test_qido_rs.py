"""Archives are asked by QIDO-RS which objects they hold; a page of another kind says nothing."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dicom_node.errors import DestinationDownError
from dicom_node.send.asking import ObjectToFind
from dicom_node.send.destinations import asker_for
from dicom_node.settings.ways_out.destinations import DicomwebDestination

ITEM = ObjectToFind(
    key=7,
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    sop_instance_uid="1.2.3.1",
    series_instance_uid="1.2.3",
    study_instance_uid="1.2",
)
JSON, HTML = "application/dicom+json", "text/html"

Page = tuple[int, str, str]


def listing(*uids: str) -> str:
    return json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids])


XML = """<NativeDicomModel><DicomAttribute tag="00080018" vr="UI" keyword="SOPInstanceUID">
<Value number="1">1.2.3.1</Value></DicomAttribute></NativeDicomModel>"""
OURS, OTHERS, NONE = listing("1.2.3.1"), listing("1.2.3.2"), listing()
LOGIN = (200, HTML, "<html>please log in</html>")
NOT_FOUND = (404, JSON, "{}")


@pytest.fixture
def serve() -> Iterator[Callable[..., DicomwebDestination]]:
    servers: list[ThreadingHTTPServer] = []

    def start(
        qido: Page, metadata: Page, in_series: Page = NOT_FOUND, in_all: Page = NOT_FOUND
    ) -> DicomwebDestination:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                expected = {
                    "/web/studies/1.2/series/1.2.3/instances?SOPInstanceUID=1.2.3.1": in_series,
                    "/web/studies/1.2/instances?SOPInstanceUID=1.2.3.1": qido,
                    "/web/studies?StudyInstanceUID=1.2": in_all,
                    "/web/studies/1.2/series/1.2.3/instances/1.2.3.1/metadata": metadata,
                }
                status, kind, text = expected[self.path]
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/web"
        return DicomwebDestination(kind="dicomweb", name="web", url=url, timeout_seconds=5)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(destination: DicomwebDestination) -> list[tuple[int, bool]]:
    asker = asker_for(destination, calling_ae_title="MAMMOCLIP")
    return [(found.key, found.is_held) for found in asker.ask([ITEM])]


@pytest.mark.parametrize(
    ("qido", "metadata", "is_held"),
    [
        ((200, JSON, OURS), NOT_FOUND, True),
        ((200, "application/dicom+xml", XML), NOT_FOUND, True),
        ((200, JSON, OTHERS), NOT_FOUND, False),
        ((200, JSON, NONE), NOT_FOUND, False),
        ((204, JSON, ""), NOT_FOUND, False),
        ((200, JSON, NONE), (200, JSON, OURS), True),
        ((404, JSON, ""), (200, JSON, OURS), True),
        (LOGIN, (200, JSON, OURS), True),
        ((200, JSON, NONE), (503, HTML, ""), False),
    ],
)
def test_archive_is_believed_what_it_lists(
    serve: Callable[..., DicomwebDestination], qido: Page, metadata: Page, is_held: bool
) -> None:
    assert ask(serve(qido, metadata)) == [(7, is_held)]


def test_archive_that_searches_only_a_series_is_believed(
    serve: Callable[..., DicomwebDestination],
) -> None:
    assert ask(serve(NOT_FOUND, NOT_FOUND, in_series=(200, JSON, OURS))) == [(7, True)]
    assert ask(serve(NOT_FOUND, NOT_FOUND, in_series=(200, JSON, NONE))) == [(7, False)]


def test_object_that_the_archive_has_put_into_another_series_is_found(
    serve: Callable[..., DicomwebDestination],
) -> None:
    assert ask(serve((200, JSON, OURS), NOT_FOUND, in_series=(200, JSON, NONE))) == [(7, True)]


def placed(study: str) -> Page:
    listed = [{"00080018": {"Value": ["1.2.3.1"]}, "0020000D": {"Value": [study]}}]
    return 200, JSON, json.dumps(listed)


def test_object_in_another_study_is_not_held_where_it_was_sent(
    serve: Callable[..., DicomwebDestination],
) -> None:
    asker = asker_for(serve(placed("9.9"), placed("9.9")), calling_ae_title="MAMMOCLIP")

    assert [(one.is_held, one.is_elsewhere) for one in asker.ask([ITEM])] == [(False, True)]
    assert ask(serve(placed("1.2"), NOT_FOUND)) == [(7, True)]


def test_first_page_of_many_instances_is_no_proof_of_absence(
    serve: Callable[..., DicomwebDestination],
) -> None:
    """Of an archive that does not heed the question."""
    page = (200, JSON, listing(*(f"1.2.3.9.{number}" for number in range(100))))

    with pytest.raises(DestinationDownError, match="does not answer QIDO-RS"):
        ask(serve(page, NOT_FOUND, in_series=page))
    assert ask(serve(page, (200, JSON, OURS), in_series=page)) == [(7, True)]


@pytest.mark.parametrize("in_all", [(200, JSON, NONE), (204, JSON, "")])
def test_archive_without_the_study_answers_404_and_does_not_hold_the_object(
    serve: Callable[..., DicomwebDestination], in_all: Page
) -> None:
    assert ask(serve(NOT_FOUND, NOT_FOUND, in_all=in_all)) == [(7, False)]


@pytest.mark.parametrize(
    "in_all",
    [(200, JSON, '[{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]'), LOGIN, (500, HTML, "")],
)
def test_archive_that_has_the_study_and_searches_none_says_nothing(
    serve: Callable[..., DicomwebDestination], in_all: Page
) -> None:
    with pytest.raises(DestinationDownError, match="does not answer QIDO-RS"):
        ask(serve(NOT_FOUND, NOT_FOUND, in_all=in_all))


@pytest.mark.parametrize(
    ("qido", "metadata"),
    [
        (NOT_FOUND, NOT_FOUND),
        (LOGIN, LOGIN),
        ((500, HTML, ""), NOT_FOUND),
        ((200, JSON, ""), NOT_FOUND),
        ((200, JSON, '{"error": "try later"}'), NOT_FOUND),
        ((200, JSON, '[{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]'), NOT_FOUND),
        ((200, JSON, "[{}, null, 7]"), NOT_FOUND),
        ((200, JSON, "[" * 100_000), NOT_FOUND),
    ],
)
def test_page_that_lists_nothing_is_no_proof_of_absence(
    serve: Callable[..., DicomwebDestination], qido: Page, metadata: Page
) -> None:
    with pytest.raises(DestinationDownError, match="does not answer QIDO-RS"):
        ask(serve(qido, metadata))


def test_missing_credentials_are_named(
    serve: Callable[..., DicomwebDestination],
) -> None:
    closed = (401, HTML, "")

    with pytest.raises(DestinationDownError, match=r"HTTP 401 \(check the credentials"):
        ask(serve(closed, closed))
