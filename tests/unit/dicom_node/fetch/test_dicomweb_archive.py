"""What an archive answers over HTTP is kept only if it was asked for, whole and in time."""

import copy
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from files_on_disk import dicom_file
from node_factory import PATIENT_ID, SOMEBODY_ELSE, STUDY_UID, encoded, mammogram
from pydicom.dataset import Dataset

from dicom_node.errors import DeliveryError
from dicom_node.fetch.asked_for import Retrieved
from dicom_node.fetch.dicomweb_archive import DicomwebArchive
from dicom_node.fetch.found_objects import FoundStudy, OtherStudyError
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomwebDestination
from dicom_node.spool.local_disk import Spool

STUDY = FoundStudy(STUDY_UID, PATIENT_ID)
CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.1.2"})
IMAGE = mammogram()

Body = Callable[[], Iterator[bytes]]


def message(*files: bytes, end: bool = True) -> Body:
    def pieces() -> Iterator[bytes]:
        for file in files:
            yield b"--frontier\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n"
        if end:
            yield b"--frontier--\r\n"

    return pieces


def endless() -> Iterator[bytes]:
    yield b"--frontier\r\nContent-Type: application/dicom\r\n\r\n" + dicom_file(IMAGE)
    while True:
        yield bytes(1_000_000)


@contextmanager
def archive(
    found: Dataset, body: Body | None = None, status: int = 200
) -> Iterator[DicomwebArchive]:
    """Run an archive that has one study, and answers every retrieval alike."""
    answer = json.loads(found.to_json())
    answer.pop("7FE00010", None)
    answer["00080061"] = {"vr": "CS", "Value": ["MG"]}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            is_list = path.endswith(("studies", "series", "instances"))
            kind = "application/dicom+json"
            if not is_list:
                kind = 'multipart/related; type="application/dicom"; boundary=frontier'
            self.send_response(200 if is_list else status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            try:
                for piece in [json.dumps([answer]).encode()] if is_list else (body or message())():
                    self.wfile.write(piece)
            except OSError:
                return  # the node has hung up

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield DicomwebArchive(DicomwebDestination(kind="dicomweb", name="web", url=url))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def retrieved(asking: DicomwebArchive, spool: Spool) -> Retrieved:
    objects = asking.objects(STUDY, CLASSES)
    settings = ReceiveSettings(minimum_free_bytes=1, maximum_object_bytes=5_000_000)
    with file_intake(settings, spool, origin="run", calling_ae_title="RUN") as intake:
        return asking.retrieve(STUDY, objects, CLASSES, intake)


def test_object_comes_as_it_is_held(spool: Spool) -> None:
    with archive(IMAGE, message(dicom_file(IMAGE))) as asking:
        (study,) = asking.studies(WantedStudy(line=2, study_instance_uid=STUDY_UID))
        got = retrieved(asking, spool)

    assert study == STUDY
    assert got == Retrieved(kept={IMAGE.SOPInstanceUID})
    assert len(spool.incoming()) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        WantedStudy(line=2, study_instance_uid="1.2.3"),
        WantedStudy(line=2, patient_id="another"),
        WantedStudy(line=2, accession_number="another"),
    ],
)
def test_study_that_was_not_asked_for_is_none_of_the_answers(wanted: WantedStudy) -> None:
    with archive(IMAGE) as asking, pytest.raises(OtherStudyError):
        asking.studies(wanted)


@pytest.mark.parametrize(
    "change",
    [{"SOPInstanceUID": "1.2.3.4"}, {"StudyInstanceUID": "1.2.3"}, SOMEBODY_ELSE],
    ids=["object", "study", "patient"],
)
def test_other_than_was_asked_for_is_refused_and_the_rest_kept(
    spool: Spool, change: dict[str, str]
) -> None:
    other = mammogram(**{"SOPInstanceUID": IMAGE.SOPInstanceUID, **change})

    with archive(IMAGE, message(dicom_file(other), dicom_file(IMAGE))) as asking:
        got = retrieved(asking, spool)

    assert got.kept == {IMAGE.SOPInstanceUID}
    assert len(got.refused) == 1
    assert len(spool.incoming()) == 1


def deflated(dataset: Dataset) -> bytes:
    syntax = "1.2.840.10008.1.2.1.99"
    plain, head = dicom_file(dataset), dicom_file(dataset, TransferSyntaxUID=syntax)
    body = encoded(dataset)
    squeezed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    assert plain.endswith(body)
    return head.removesuffix(body) + squeezed.compress(body) + squeezed.flush()


def far_behind(dataset: Dataset) -> bytes:
    """Return a file that names its patient behind 300 kB."""
    dataset = copy.deepcopy(dataset)
    dataset.private_block(0x0009, "SOMEBODY", create=True).add_new(1, "OB", bytes(300_000))
    return dicom_file(dataset)


@pytest.mark.parametrize("written", [deflated, far_behind])
def test_patient_is_compared_however_an_image_is_written(
    spool: Spool, written: Callable[[Dataset], bytes]
) -> None:
    other = mammogram(SOPInstanceUID=IMAGE.SOPInstanceUID, **SOMEBODY_ELSE)

    with archive(IMAGE, message(written(other))) as asking:
        got = retrieved(asking, spool)

    assert (got.kept, len(got.refused)) == (set(), 1)
    assert spool.incoming() == []


def test_deflated_image_of_the_patient_is_kept(spool: Spool) -> None:
    with archive(IMAGE, message(deflated(IMAGE))) as asking:
        assert retrieved(asking, spool) == Retrieved(kept={IMAGE.SOPInstanceUID})


def test_object_that_comes_more_than_once_is_kept_once(spool: Spool) -> None:
    other = mammogram(SOPInstanceUID=IMAGE.SOPInstanceUID, AccessionNumber="another")

    with archive(IMAGE, message(dicom_file(IMAGE), *[dicom_file(other)] * 50)) as asking:
        got = retrieved(asking, spool)

    (receipt,) = spool.incoming()
    assert b"another" not in spool.incoming_file(receipt).read_bytes()
    assert got.refused == ["the archive sent an object more than once"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (message(dicom_file(IMAGE)[:400], end=False), 200),
        (message(b"a page for logging in"), 200),
        (message(dicom_file(IMAGE)), 404),
        (endless, 200),
    ],
    ids=["cut off", "no DICOM", "not found", "endless"],
)
def test_answer_that_is_none_leaves_nothing_behind(spool: Spool, body: Body, status: int) -> None:
    with archive(IMAGE, body, status) as asking, pytest.raises(DeliveryError):
        retrieved(asking, spool)

    assert spool.incoming() == []
    assert list((spool.root / "partial").iterdir()) == []
