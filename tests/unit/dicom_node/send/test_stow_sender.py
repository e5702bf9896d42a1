"""STOW-RS delivery against a small HTTP server on loopback."""

import base64
import errno
import json
import threading
from collections.abc import Callable
from typing import Any

import pydicom
import pytest
from ports import free_port
from stow_double import (
    FAILED,
    Answering,
    archive,
    destination,
    failed,
    failed_without_uid,
    item_of,
    sent,
    taken,
)

from dicom_node.errors import DestinationDownError
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.send.stow_rs import StowSender

MakeObject = Callable[..., ObjectToSend]

__all__ = ["archive"]


def test_object_that_the_answer_refers_to_is_delivered(
    archive: Answering, result_object: MakeObject
) -> None:
    item = result_object()

    (answer,) = sent(archive, item)

    assert answer == Answer(key=item.key, outcome=Outcome.ACCEPTED, status="HTTP 200")


def test_object_is_posted_to_the_studies_of_the_service(
    archive: Answering, result_object: MakeObject
) -> None:
    sent(archive, item := result_object())

    ((path, headers, body),) = archive.requests
    assert path == "/dicom-web/studies"
    assert headers["Content-Type"].startswith('multipart/related; type="application/dicom"')
    assert item.sop_instance_uid.encode() in body


def test_empty_sequence_of_failures_is_no_failure(
    archive: Answering, result_object: MakeObject
) -> None:
    archive.document = lambda uid: {**taken(uid), FAILED: {"vr": "SQ", "Value": []}}

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("has_uid", [True, False])
@pytest.mark.parametrize("http", [200, 202, 400, 409])
@pytest.mark.parametrize(
    "failure",
    [
        (0x0111, Outcome.ACCEPTED),
        (0xA700, Outcome.POSTPONED),
        (0xA7FF, Outcome.POSTPONED),
        (0x0110, Outcome.POSTPONED),
        (0x0213, Outcome.POSTPONED),
        (0xA900, Outcome.REFUSED),
        (0xC000, Outcome.REFUSED),
        (0x0122, Outcome.REFUSED),
    ],
)
def test_reason_of_a_failure_is_the_outcome(
    archive: Answering,
    result_object: MakeObject,
    http: int,
    has_uid: bool,
    failure: tuple[int, Outcome],
) -> None:
    reason, outcome = failure
    archive.status = http
    archive.document = lambda uid: failed(uid, reason) if has_uid else failed_without_uid(reason)

    (answer,) = sent(archive, result_object())

    assert (answer.outcome, answer.status) == (outcome, f"0x{reason:04X}")


@pytest.mark.parametrize("http", [401, 404, 429, 500, 503])
@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (0x0111, Outcome.ACCEPTED),
        (0xA700, Outcome.POSTPONED),
        (0xA900, Outcome.POSTPONED),
    ],
)
def test_server_that_blames_itself_refuses_no_object_for_good(
    archive: Answering, result_object: MakeObject, http: int, reason: int, outcome: Outcome
) -> None:
    archive.status = http
    archive.document = lambda uid: failed(uid, reason)

    (answer,) = sent(archive, result_object())

    assert answer.outcome is outcome
    assert answer.status.endswith(f"0x{reason:04X}")


@pytest.mark.parametrize("http", [200, 409])
@pytest.mark.parametrize("reason", [None, 0])
def test_failure_without_a_reason_is_told_in_words_and_sent_later(
    archive: Answering, result_object: MakeObject, http: int, reason: int | None
) -> None:
    archive.status = http
    archive.document = lambda uid: {FAILED: {"vr": "SQ", "Value": [item_of(uid, reason)]}}

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.POSTPONED
    assert answer.status == f"HTTP {http}: it says that the object failed, and not why"


def test_object_that_is_stored_is_not_the_one_without_uid_that_failed(
    archive: Answering, result_object: MakeObject
) -> None:
    archive.document = lambda uid: {**taken(uid), **failed_without_uid(0xA900)}

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.ACCEPTED


def test_failure_of_another_object_is_not_this_one_s(
    archive: Answering, result_object: MakeObject
) -> None:
    archive.document = lambda uid: {**taken(uid), **failed("9.9", 0xC000)}

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("document", [lambda _: {}, lambda _: taken("9.9")])
def test_answer_without_the_object_is_not_believed(
    archive: Answering, result_object: MakeObject, document: Callable[[str], Any]
) -> None:
    archive.document = document

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.POSTPONED
    assert answer.status == "HTTP 200 without the object's UID"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, Outcome.REFUSED),
        (401, Outcome.POSTPONED),
        (403, Outcome.POSTPONED),
        (404, Outcome.POSTPONED),
        (405, Outcome.POSTPONED),
        (410, Outcome.POSTPONED),
        (501, Outcome.POSTPONED),
        (407, Outcome.POSTPONED),
        (409, Outcome.REFUSED),
        (413, Outcome.REFUSED),
        (415, Outcome.REFUSED),
        (408, Outcome.POSTPONED),
        (429, Outcome.POSTPONED),
        (500, Outcome.POSTPONED),
        (502, Outcome.POSTPONED),
        (503, Outcome.POSTPONED),
        (504, Outcome.POSTPONED),
        # What a proxy or a portal before the archive says is no refusal of an object.
        (303, Outcome.POSTPONED),
        (304, Outcome.POSTPONED),
        (423, Outcome.POSTPONED),
        (505, Outcome.POSTPONED),
        (511, Outcome.POSTPONED),
        (522, Outcome.POSTPONED),
        (999, Outcome.POSTPONED),
    ],
)
def test_http_status_without_a_document_is_the_outcome(
    archive: Answering, result_object: MakeObject, status: int, outcome: Outcome
) -> None:
    archive.status, archive.content_type = status, "text/plain"
    archive.document = lambda _: "sorry"

    (answer,) = sent(archive, result_object())

    assert answer.outcome is outcome
    assert answer.status.startswith(f"HTTP {status}")


def test_wrong_password_is_said_to_be_one(archive: Answering, result_object: MakeObject) -> None:
    archive.status = 401

    (answer,) = sent(archive, result_object())

    assert answer.status == "HTTP 401 (check the credentials under [[destinations]])"


def test_wrong_path_is_said_to_be_one(archive: Answering, result_object: MakeObject) -> None:
    archive.status = 404

    (answer,) = sent(archive, result_object())

    assert "check url under [[destinations]]" in answer.status


@pytest.mark.parametrize("document", [{}, taken("9.9"), failed("9.9", 0xA700), [1], "sorry"])
def test_conflict_that_says_nothing_of_the_object_is_refused(
    archive: Answering, result_object: MakeObject, document: Any
) -> None:
    archive.status = 409
    archive.document = lambda _: document

    (answer,) = sent(archive, result_object())

    assert (answer.outcome, answer.status) == (Outcome.REFUSED, "HTTP 409")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", '"many"'])
def test_reason_that_is_no_number_is_no_answer(
    archive: Answering, result_object: MakeObject, number: str
) -> None:
    archive.document = lambda uid: failed(uid, json.loads(number))

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.POSTPONED


@pytest.mark.parametrize("content_type", ["application/dicom+json", "application/dicom+xml"])
@pytest.mark.parametrize("text", ["<p>please <b>log in</p>", '{"00081199": 5}', "[1]"])
def test_success_that_is_no_dicom_answer_is_not_believed(
    archive: Answering, result_object: MakeObject, content_type: str, text: str
) -> None:
    archive.content_type = content_type
    archive.document = lambda _: text

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.POSTPONED
    assert answer.status == "HTTP 200 without a DICOM answer"


def test_success_of_a_login_page_is_not_believed(
    archive: Answering, result_object: MakeObject
) -> None:
    archive.content_type = "text/html"
    archive.document = lambda _: "<html>please log in</html>"

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.POSTPONED


@pytest.mark.parametrize(
    "content_type", ["application/dicom+json; charset=utf-8", "application/json;charset=UTF-8"]
)
def test_media_type_may_have_a_parameter(
    archive: Answering, result_object: MakeObject, content_type: str
) -> None:
    archive.content_type = content_type

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.ACCEPTED


def test_answer_in_xml_is_understood(archive: Answering, result_object: MakeObject) -> None:
    archive.content_type = "application/dicom+xml"
    archive.document = lambda uid: (
        '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
        '<DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence">'
        '<Item number="1"><DicomAttribute tag="00081155" vr="UI"'
        f' keyword="ReferencedSOPInstanceUID"><Value number="1">{uid}</Value>'
        "</DicomAttribute></Item></DicomAttribute></NativeDicomModel>"
    )

    (answer,) = sent(archive, result_object())

    assert answer.outcome is Outcome.ACCEPTED


def test_every_object_has_its_own_answer(archive: Answering, result_object: MakeObject) -> None:
    objects = [result_object() for _ in range(3)]
    bad = objects[1].sop_instance_uid
    archive.document = lambda uid: failed(uid, 0xC000) if uid == bad else taken(uid)

    answers = sent(archive, *objects)

    assert [answer.key for answer in answers] == [item.key for item in objects]
    assert [answer.outcome.value for answer in answers] == ["accepted", "refused", "accepted"]


def test_file_that_is_gone_is_refused_and_the_rest_goes(
    archive: Answering, result_object: MakeObject
) -> None:
    gone, good = result_object(), result_object()
    gone.file.unlink()
    archive.document = lambda _: taken(good.sop_instance_uid)

    first, second = sent(archive, gone, good)

    assert (first.outcome, second.outcome) == (Outcome.REFUSED, Outcome.ACCEPTED)
    assert first.status == "the result file cannot be read: FileNotFoundError"


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_file_that_the_disk_does_not_give_is_sent_later(
    archive: Answering, result_object: MakeObject, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    item = result_object()

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, "for the test")

    monkeypatch.setattr(pydicom, "dcmread", fail)

    (answer,) = sent(archive, item)

    assert answer.outcome is Outcome.POSTPONED
    assert "cannot be read" in answer.status


def test_archive_that_does_not_listen_is_down(result_object: MakeObject) -> None:
    with pytest.raises(DestinationDownError, match="does not answer: ConnectionError"):
        list(StowSender(destination(free_port())).send([result_object()]))


def test_archive_that_says_nothing_is_down(archive: Answering, result_object: MakeObject) -> None:
    archive.silent = threading.Event()

    with pytest.raises(DestinationDownError, match="Timeout"):
        sent(archive, result_object(), timeout_seconds=0.2)

    archive.silent.set()


def test_archive_without_an_account_is_asked_without_one(
    archive: Answering, result_object: MakeObject
) -> None:
    sent(archive, result_object())

    assert "Authorization" not in archive.requests[0][1]


def test_account_of_the_settings_is_used(archive: Answering, result_object: MakeObject) -> None:
    sent(archive, result_object(), username="node", password="s3cret")

    assert archive.requests[0][1]["Authorization"] == "Basic bm9kZTpzM2NyZXQ="


def test_account_is_sent_in_utf_8(archive: Answering, result_object: MakeObject) -> None:
    sent(archive, result_object(), username="müller", password="пароль")

    _, _, shown = archive.requests[0][1]["Authorization"].partition("Basic ")
    assert base64.b64decode(shown).decode() == "müller:пароль"


def test_kind_of_a_destination_chooses_its_sender() -> None:
    assert isinstance(sender_for(destination(80), calling_ae_title="X"), StowSender)
