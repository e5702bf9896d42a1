"""Where new studies are found: what an archive answers is checked, and no page is passed over."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from node_factory import NOW, STUDY_UID

from dicom_node.errors import DeliveryError, DestinationDownError
from dicom_node.fetch.dicomweb_archive import DicomwebArchive
from dicom_node.fetch.new_studies import OrthancChanges
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.settings.ways_out.destinations import DicomwebDestination

Answer = Callable[[str, dict[str, str]], Any]


@contextmanager
def answering(answer: Answer) -> Iterator[DicomwebDestination]:
    """Run an archive that answers each path and query with a document, or with a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: one[0] for key, one in parse_qs(parts.query, True).items()}
            document = answer(parts.path, query)
            is_status = isinstance(document, int)
            self.send_response(document if is_status else 200)
            self.end_headers()
            self.wfile.write(b"" if is_status else json.dumps(document).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield DicomwebDestination(kind="dicomweb", name="web", url=url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def orthanc(count: int, gone: tuple[int, ...] = ()) -> Answer:
    """Answer as Orthanc does that has received so many objects, each of a study of its own."""

    def answer(path: str, query: dict[str, str]) -> Any:
        if path == "/changes" and "last" in query:
            return {"Changes": [], "Done": True, "Last": count}
        if path == "/changes":
            first = int(query["since"]) + 1
            numbers = range(first, min(first + int(query["limit"]), count + 1))
            changes = [{"ChangeType": "NewInstance", "ID": f"id-{n}", "Seq": n} for n in numbers]
            return {"Changes": changes, "Done": numbers[-1] == count, "Last": numbers[-1]}
        number = int(path.split("/")[2].removeprefix("id-"))
        if number in gone:
            return 404
        return {"MainDicomTags": {"StudyInstanceUID": f"{STUDY_UID}.{number}"}}

    return answer


def found(answer: Answer, cursor: str) -> tuple[list[int], str]:
    with answering(answer) as destination:
        changes = OrthancChanges(destination, destination.url)
        batches = list(changes.since(cursor, NOW))
    numbers = [int(s.study_instance_uid.split(".")[-1]) for b in batches for s in b.studies]
    return numbers, batches[-1].cursor if batches else cursor


def test_first_search_only_notes_where_the_changes_end() -> None:
    assert found(orthanc(7), "") == ([], "7")


def test_every_page_of_changes_is_read_and_what_was_deleted_is_passed_over() -> None:
    numbers, cursor = found(orthanc(130, gone=(30,)), "27")

    assert numbers == [28, 29, *range(31, 131)]
    assert cursor == "130"


def test_archive_that_was_emptied_is_read_from_the_beginning() -> None:
    assert found(orthanc(3), "900") == ([1, 2, 3], "3")


@pytest.mark.parametrize(
    "page",
    [
        {"Changes": [], "Last": 0},
        {"Changes": 7, "Last": 9},
        {"Changes": ["x"], "Last": 9},
        {"Changes": [], "Last": True},
        {"Changes": []},
        [],
        401,
    ],
    ids=str,
)
def test_answer_that_is_no_list_of_changes_moves_nothing(page: Any) -> None:
    def answer(path: str, query: dict[str, str]) -> Any:
        return {"Last": 9} if "last" in query else page

    with pytest.raises(DeliveryError):
        found(answer, "2")


def test_study_of_an_object_is_no_path_of_the_archive() -> None:
    asked: list[str] = []

    def answer(path: str, query: dict[str, str]) -> Any:
        asked.append(path)
        change = {"ChangeType": "NewInstance", "ID": "../x?y", "Seq": 9}
        return {"Changes": [change], "Last": 9, "MainDicomTags": {"StudyInstanceUID": "../7"}}

    assert found(answer, "2") == ([], "9")
    assert asked[-1] == "/instances/..%2Fx%3Fy/study"


@pytest.mark.parametrize("knows_pages", [True, False])
def test_studies_of_a_day_are_searched_page_by_page(knows_pages: bool) -> None:
    numbers = range(25 if knows_pages else 10)

    def answer(path: str, query: dict[str, str]) -> Any:
        begin = int(query.get("offset", "0")) if knows_pages else 0
        return [
            {
                "0020000D": {"vr": "UI", "Value": [f"{STUDY_UID}.{number}"]},
                "00080020": {"vr": "DA", "Value": ["20260131"]},
                "00201208": {"vr": "IS", "Value": [4]},
            }
            for number in numbers[begin : begin + 10]
        ]

    with answering(answer) as destination:
        wanted = WantedStudy(line=0, first_date="20260131", last_date="20260131")
        studies = DicomwebArchive(destination).studies(wanted)

    assert [one.study_instance_uid for one in studies] == [f"{STUDY_UID}.{n}" for n in numbers]
    assert {one.objects for one in studies} == {4}


def test_archive_that_does_not_answer_is_told_as_down() -> None:
    with answering(orthanc(1)) as destination:
        pass

    with pytest.raises(DestinationDownError):
        list(OrthancChanges(destination, destination.url).since("", NOW))
