"""Row P6: inputs of a workitem are fetched by WADO-RS, from no host but those of the settings."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from files_on_disk import dicom_file
from node_factory import SOMEBODY_ELSE
from ports import free_port
from pydicom.dataset import Dataset
from worklist_double import Worklist, element
from worklist_site import STUDY, images_of, item, uid

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@contextmanager
def web_archive(
    images: list[Dataset], asked: list[str], *, names_nobody: bool = False
) -> Iterator[str]:
    """Serve images by QIDO-RS and WADO-RS; yields the root of the service.

    Parameters
    ----------
    names_nobody : what searches find says no patient; what is sent does
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            last = path.rsplit("/", 1)[-1]
            named = [one for one in images if one.SOPInstanceUID == last]
            if named:
                head = b"--frontier\r\nContent-Type: application/dicom\r\n\r\n"
                body = head + dicom_file(named[0]) + b"\r\n--frontier--\r\n"
                kind = 'multipart/related; type="application/dicom"; boundary=frontier'
            else:
                found = [json.loads(one.to_json()) for one in images]
                for one in found:
                    one.pop("7FE00010")
                    if names_nobody:
                        one.pop("00100020")
                body, kind = json.dumps(found).encode(), "application/dicom+json"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    port = free_port()
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def named_at(url: str) -> Any:
    """Return a workitem that says where its inputs can be retrieved."""
    named = item()
    place = {"00081190": element("UR", f"{url}/studies/{STUDY}")}
    named["00404021"]["Value"][0]["0040E025"] = element("SQ", place)
    return named


def test_p6_images_are_fetched_from_the_archive_that_the_workitem_names(
    site_with: Any, worklist: Worklist
) -> None:
    first: list[str] = []
    second: list[str] = []
    site = site_with(archives=["other", "web"])
    with web_archive(images_of(), first) as url, web_archive([], second) as other:
        for name, root in (("web", url), ("other", other)):
            site.destinations.append({"name": name, "kind": "dicomweb", "url": root})
        worklist.add(named_at(url))
        site.performer().step()
        site.reception.registrar.register_all()

    kept = {one.sop_instance_uid for one in site.reception.instances()}
    assert kept == {one.SOPInstanceUID for one in images_of()}
    assert second == [], "the one that is named was asked first, and had everything"


def test_p6_host_that_only_the_workitem_names_is_never_asked(
    site_with: Any, worklist: Worklist
) -> None:
    asked: list[str] = []
    site = site_with(archives=["archive"])
    site.destinations[0]["port"] = free_port()  # nobody is there
    with web_archive(images_of(), asked) as url:
        worklist.add(named_at(url))
        site.performer().step()

    assert asked == []
    assert worklist.state(uid()) == "IN PROGRESS"


def test_p6_object_of_another_patient_is_not_kept_where_the_archive_names_none(
    site_with: Any, worklist: Worklist, log_lines: list[Any]
) -> None:
    site = site_with(archives=["web"])
    with web_archive(images_of(**SOMEBODY_ELSE), [], names_nobody=True) as url:
        site.destinations.append({"name": "web", "kind": "dicomweb", "url": url})
        worklist.add(item())
        performer = site.performer()
        performer.step()
        performer.step()

    site.reception.registrar.register_all()
    assert site.reception.instances() == []
    (line,) = [one for one in log_lines if one["event"] == "workitem_inputs_missing"]
    assert "another patient" in line["reason"]
