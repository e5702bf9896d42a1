"""STOW-RS puts objects into the spool by the promises of C-STORE (PS3.18 10.5)."""

import gzip
import socket
import time
from io import BytesIO

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from files_on_disk import dicom_file
from node_factory import STUDY_UID, Reception, encoded, four_views, mammogram
from web_factory import CONTENT_TYPE, Served, items, message, post

CT = "1.2.840.10008.5.1.4.1.1.2"
STORED, FAILED, OTHER_FAILURES = "00081199", "00081198", "0008119A"
CLASS, INSTANCE, REASON = "00081150", "00081155", "00081197"


def test_objects_are_in_the_spool_when_they_are_answered(web: Served) -> None:
    images = four_views()

    answer = post(web, message(*map(dicom_file, images)))

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert items(answer, STORED) == [
        {CLASS: image.SOPClassUID, INSTANCE: image.SOPInstanceUID} for image in images
    ]
    kept = [web.spool.incoming_file(one).read_bytes() for one in web.spool.incoming()]
    assert [content.endswith(encoded(image)) for content, image in zip(kept, images, strict=True)]
    assert all(content.startswith(bytes(128) + b"DICM") for content in kept)


def test_client_of_others_stores_a_study(web: Served) -> None:
    images = [pydicom.dcmread(BytesIO(dicom_file(image))) for image in four_views()]

    with requests.Session() as session:
        client = DICOMwebClient(web.url, session=session)
        answer = client.store_instances(images, study_instance_uid=STUDY_UID)

    assert len(answer.ReferencedSOPSequence) == 4
    assert "FailedSOPSequence" not in answer
    assert len(web.spool.incoming()) == 4


def test_sender_is_the_ae_title_of_the_client(web: Served) -> None:
    post(web, message(dicom_file(mammogram())))

    (receipt,) = web.spool.incoming()
    meta = pydicom.dcmread(web.spool.incoming_file(receipt)).file_meta
    assert meta.SendingApplicationEntityTitle == "DICOMWEB"
    assert meta.SourcePresentationAddress == "dicom://127.0.0.1"


def test_what_was_stored_is_registered(reception: Reception, web: Served) -> None:
    post(web, message(*map(dicom_file, four_views())))

    for receipt in web.spool.incoming():
        target = reception.spool.incoming_file(receipt)
        target.write_bytes(web.spool.incoming_file(receipt).read_bytes())
        target.chmod(0o600)
    reception.registrar.register_all()

    assert [row.state for row in reception.instances()] == ["registered"] * 4


def test_single_object_needs_no_message_around_it(web: Served) -> None:
    answer = post(web, dicom_file(mammogram()), Content_Type="application/dicom")

    assert answer.status_code == 200
    assert len(web.spool.incoming()) == 1


@pytest.mark.filterwarnings("ignore:The value length")
def test_each_object_is_answered_for_itself(web: Served) -> None:
    good, ct, large = mammogram(), mammogram(SOPClassUID=CT), mammogram(PixelData=bytes(200_000))
    nameless = dicom_file(mammogram(), MediaStorageSOPInstanceUID="1." + "2" * 80)
    body = message(
        b"a letter", dicom_file(ct), dicom_file(large), dicom_file(good)[:140], nameless,
        dicom_file(good),
    )  # fmt: skip

    answer = post(web, body)

    assert answer.status_code == 202
    assert [item[INSTANCE] for item in items(answer, STORED)] == [good.SOPInstanceUID]
    assert {item[INSTANCE]: item[REASON] for item in items(answer, FAILED)} == {
        ct.SOPInstanceUID: 0x0122,
        large.SOPInstanceUID: 0xA700,
        "1." + "2" * 80: 0x0117,
    }
    assert [item[REASON] for item in items(answer, OTHER_FAILURES)] == [0xC000, 0xC000]
    assert len(web.spool.incoming()) == 1
    assert list((web.spool.root / "partial").iterdir()) == []


def test_nothing_stored_is_a_conflict(web: Served) -> None:
    answer = post(web, message(dicom_file(mammogram(SOPClassUID=CT))))

    assert answer.status_code == 409


def test_object_of_another_study_than_the_address_is_refused(web: Served) -> None:
    other = mammogram(StudyInstanceUID="1.2.3")
    none = mammogram(without=["StudyInstanceUID"])

    answer = post(
        web, message(*map(dicom_file, [other, none, mammogram()])), f"studies/{STUDY_UID}"
    )

    assert [item[REASON] for item in items(answer, FAILED)] == [0xA900, 0xA900]
    assert len(web.spool.incoming()) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "application/json"}, 415),
        ({"Content_Type": "multipart/form-data; boundary=frontier"}, 415),
        ({"Content_Type": 'multipart/related; type="image/jpeg"; boundary=frontier'}, 415),
        ({"Content_Type": 'multipart/related; type="application/dicom"'}, 415),
        ({"Content_Type": "multipart/related; boundary=" + "x" * 5000}, 400),
        ({"Content_Encoding": "gzip"}, 415),
        ({"Accept": "application/dicom+xml"}, 406),
        ({"Host": "attacker.example"}, 403),
    ],
)
def test_request_that_cannot_be_served_is_refused_and_nothing_kept(
    web: Served, headers: dict[str, str], status: int
) -> None:
    answer = post(web, message(dicom_file(mammogram())), **headers)

    assert answer.status_code == status
    assert answer.json()["error"]
    assert web.spool.incoming() == []


def test_compressed_bomb_is_not_inflated(web: Served) -> None:
    answer = post(web, gzip.compress(bytes(10**7)), Content_Encoding="gzip")

    assert answer.status_code == 415


def test_address_that_holds_no_uid_is_unknown(web: Served) -> None:
    for path in ("studies/..%2f..%2fetc", "studies/1.2.x", "studies/" + "1." * 40 + "1"):
        assert post(web, message(dicom_file(mammogram())), path).status_code == 404


def test_what_came_before_a_message_broke_is_answered_for(web: Served) -> None:
    image = mammogram()
    broken = message(dicom_file(image), dicom_file(mammogram())[:400], end=False)

    answer = post(web, broken)

    assert answer.status_code == 400
    assert [item[INSTANCE] for item in items(answer, STORED)] == [image.SOPInstanceUID]
    assert len(web.spool.incoming()) == 1
    assert list((web.spool.root / "partial").iterdir()) == []


def test_more_objects_than_a_request_may_hold_are_not_taken(web: Served) -> None:
    answer = post(web, message(*[dicom_file(mammogram()) for _ in range(25)]))

    assert answer.status_code == 400
    assert len(items(answer, STORED)) == len(web.spool.incoming()) == 20


def _line(web: Served, first: bytes) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", web.port), timeout=20)
    line.sendall(first)
    return line


def _until_closed(line: socket.socket) -> bytes:
    received = b""
    while part := line.recv(65536):
        received += part
    return received


HEAD = (
    f"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {CONTENT_TYPE}\r\n"
).encode()


@pytest.mark.parametrize(
    "beginning",
    [b"", b"POST /dicomweb/studies HTTP/1.1\r\nHost: loc"],
    ids=["silent", "half a header"],
)
def test_connection_without_a_request_is_closed(web: Served, beginning: bytes) -> None:
    with _line(web, beginning) as line:
        assert _until_closed(line) == b""


def test_body_that_does_not_come_is_given_up(web: Served) -> None:
    start = message(dicom_file(mammogram()), end=False)[:-40]

    with _line(web, HEAD + b"Content-Length: 4000000000\r\n\r\n" + start) as line:
        received = _until_closed(line)

    assert b" 408 " in received.partition(b"\r\n")[0]
    assert web.spool.incoming() == []


def test_chunked_body_of_no_stated_length_is_taken(web: Served) -> None:
    body = message(*map(dicom_file, four_views()))
    chunks = (body[at : at + 100] for at in range(0, len(body), 100))

    answer = requests.post(
        f"{web.url}/studies", data=chunks, headers={"Content-Type": CONTENT_TYPE}, timeout=30
    )

    assert answer.status_code == 200
    assert len(web.spool.incoming()) == 4


def test_client_that_goes_away_leaves_what_was_whole(web: Served) -> None:
    body = message(dicom_file(mammogram()), dicom_file(mammogram()), end=False)[:-60]
    with _line(web, HEAD + b"Content-Length: 100000\r\n\r\n" + body):
        ends = time.monotonic() + 20
        while len(web.spool.incoming()) < 1:
            assert time.monotonic() < ends, "the first object is kept"
            time.sleep(0.02)

    assert post(web, message(dicom_file(mammogram()))).status_code == 200
    assert len(web.spool.incoming()) == 2
