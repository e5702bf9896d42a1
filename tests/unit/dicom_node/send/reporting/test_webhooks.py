"""Signed messages to a web server, verified with the library of Standard Webhooks."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hostile import serving
from http_double import http_double
from pydantic import ValidationError
from pydicom.dataset import Dataset
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from told_results import each_study, regions_of_report, scores_of_report

from dicom_node.errors import DestinationDownError
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.send.probe import probe
from dicom_node.send.reporting.report_reading import report_of
from dicom_node.send.reporting.webhook import Webhook
from dicom_node.settings.ways_out.reporting import WebhookDestination

ReportFile = Callable[..., ObjectToSend]
SECRET = "whsec_UmFuZG9tIGJ5dGVzIHRoYXQgbm9ib2R5IGtub3dzIQ=="
OTHER = "whsec_Rm9ybWVyIGJ5dGVzIHRoYXQgbm9ib2R5IGtub3dzIQ=="


def destination(url: str = "http://127.0.0.1/hook", **changes: Any) -> WebhookDestination:
    values = {"kind": "webhook", "name": "hook", "url": url, "secret": SECRET}
    return WebhookDestination.model_validate({**values, "timeout_seconds": 5, **changes})


def sent(url: str, *items: ObjectToSend, **changes: Any) -> list[Answer]:
    sender = sender_for(destination(url, **changes), calling_ae_title="MAMMOCLIP")
    return list(sender.send(items))


def body_of(dataset: Dataset, **changes: Any) -> Any:
    return json.loads(Webhook(destination(**changes)).compose(report_of(dataset)).body)


def test_message_is_verified_by_another_library(report_file: ReportFile) -> None:
    with http_double() as server:
        (answer,) = sent(server.url, report_file())

    (request,) = server.requests
    assert answer.outcome is Outcome.ACCEPTED
    assert (request.method, request.path) == ("POST", "/hook")
    said = Verifier(SECRET).verify(request.body, request.headers)
    assert said["type"] == "mammography.result.preliminary"


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b'{"type":"another"}'},
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": "1"},
    ],
)
def test_signature_covers_body_identifier_and_time(
    report_file: ReportFile, changed: dict[str, Any]
) -> None:
    with http_double() as server:
        sent(server.url, report_file())

    (request,) = server.requests
    body = changed.pop("body", request.body)
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(body, {**request.headers, **changed})


def test_key_that_is_being_replaced_verifies_too(report_file: ReportFile) -> None:
    with http_double() as server:
        sent(server.url, report_file(), former_secret=OTHER)

    (request,) = server.requests
    for secret in (SECRET, OTHER):
        Verifier(secret).verify(request.body, request.headers)


def test_message_that_is_sent_again_has_its_identifier_and_body(report_file: ReportFile) -> None:
    item = report_file()

    with http_double(503) as server:
        sent(server.url, item)
        sent(server.url, item)

    first, second = server.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_another_result_has_another_identifier(report_file: ReportFile) -> None:
    with http_double() as server:
        sent(server.url, report_file("one finding"), report_file("no finding"))

    assert len({one.headers["webhook-id"] for one in server.requests}) == 2


@each_study
def test_message_has_the_scores_of_the_report(
    report_dataset: Callable[[str], Dataset], case: str
) -> None:
    dataset = report_dataset(case)

    data = body_of(dataset)["data"]

    def scores(one: dict[str, Any]) -> tuple[Any, ...]:
        return tuple((it["concept"]["code"], it["value"], it["unit"]) for it in one["scores"])

    regions = sorted(
        (one["tracking_uid"], one["finding"]["code"], one["side"] or "", scores(one))
        for one in data["regions"]
    )
    assert regions == [
        (one.tracking_uid, one.finding, one.side, one.scores) for one in regions_of_report(dataset)
    ]
    evaluations = sorted(
        (one["concept"]["code"], one["value"]["code"], one["side"] or "", scores(one))
        for one in data["evaluations"]
        if "scores" in one
    )
    assert evaluations == [
        (one.concept, one.value, one.side, one.scores) for one in scores_of_report(dataset)
    ]


def test_message_says_what_it_is_worth(report_dataset: Callable[[str], Dataset]) -> None:
    data = body_of(report_dataset("one finding"))["data"]

    assert (data["status"], data["verification"]) == ("preliminary", "unverified")
    assert data["notice"].startswith("RESEARCH USE ONLY - NOT FOR DIAGNOSIS.")
    assert data["algorithm"] == {"name": "demonstration", "version": "0.1.0"}
    assert data["outcome"]["code"] == "111242"


@pytest.mark.parametrize(
    ("identifiers", "told"),
    [
        ("study", set()),
        ("accession", {"ACC-1"}),
        ("patient", {"ACC-1", "Test^Mammography", "TEST-1", "19600101"}),
    ],
)
def test_patient_is_named_only_if_the_settings_say_so(
    report_dataset: Callable[[str], Dataset], identifiers: str, told: set[str]
) -> None:
    body = json.dumps(body_of(report_dataset("one finding"), identifiers=identifiers))

    known = {"ACC-1", "Test^Mammography", "TEST-1", "19600101"}
    assert {one for one in known if f'"{one}"' in body} == told


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ACCEPTED),
        (202, Outcome.ACCEPTED),
        (204, Outcome.ACCEPTED),
        (400, Outcome.REFUSED),
        (413, Outcome.REFUSED),
        (422, Outcome.REFUSED),
        (401, Outcome.POSTPONED),
        (404, Outcome.POSTPONED),
        (410, Outcome.POSTPONED),
        (429, Outcome.POSTPONED),
        (500, Outcome.POSTPONED),
        (503, Outcome.POSTPONED),
    ],
)
def test_status_decides(report_file: ReportFile, status: int, outcome: Outcome) -> None:
    with http_double(status) as server:
        (answer,) = sent(server.url, report_file())

    assert answer.outcome is outcome
    assert answer.status.startswith(f"HTTP {status}")


def test_message_goes_on_within_its_server(report_file: ReportFile) -> None:
    def answer(request: Any) -> Any:
        moved = request.path == "/hook"
        return (307, {"Location": "/new"}, b"") if moved else (204, {}, b"")

    with http_double(answer) as server:
        (sent_answer,) = sent(server.url, report_file())

    assert sent_answer.outcome is Outcome.ACCEPTED
    assert [one.path for one in server.requests] == ["/hook", "/new"]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest",
        "http://localhost:1/",
        "file:///etc/passwd",
        "https://a/",
        "",
    ],
)
def test_message_goes_to_no_other_server(report_file: ReportFile, location: str) -> None:
    with (
        http_double((307, {"Location": location}, b"")) as server,
        pytest.raises(DestinationDownError, match="redirects to another server"),
    ):
        sent(server.url, report_file())
    assert len(server.requests) == 1


def test_answer_without_end_does_not_keep_the_node(report_file: ReportFile) -> None:
    def endless(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not over.wait(0.01):
            connection.sendall(b"1\r\nx\r\n")

    with serving(endless) as port:
        (answer,) = sent(f"http://127.0.0.1:{port}/", report_file(), exchange_seconds=30)

    assert answer.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        ({"token": "secret-token"}, "Bearer secret-token"),
        ({"username": "node", "password": "pass"}, "Basic bm9kZTpwYXNz"),
        ({}, None),
    ],
)
def test_credentials_are_sent_as_set(
    report_file: ReportFile, credentials: dict[str, str], header: str | None
) -> None:
    with http_double() as server:
        sent(server.url, report_file(), **credentials)

    assert server.requests[0].headers.get("authorization") == header


@pytest.mark.parametrize("status", [200, 401, 404, 405])
def test_server_that_answers_a_probe_is_there(status: int) -> None:
    with http_double(status) as server:
        probe(destination(server.url), calling_ae_title="X")

    (request,) = server.requests
    assert (request.method, request.body) == ("HEAD", b"")


def test_gateway_without_a_server_behind_it_is_down() -> None:
    with http_double(502) as server, pytest.raises(DestinationDownError, match="HTTP 502"):
        probe(destination(server.url), calling_ae_title="X")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"secret": "too short"}, "whsec_ and 24 to 64"),
        ({"secret": "whsec_c2hvcnQ="}, "whsec_ and 24 to 64"),
        ({"secret": "whsec_not base64 not base64 not base64"}, "whsec_ and 24 to 64"),
        ({"former_secret": "whsec_"}, "whsec_ and 24 to 64"),
        ({"url": "http://node:pass@host/"}, "set username and password"),
        ({"url": "http://169.254.169.254/latest"}, "network link"),
        ({"url": "http:///nothing"}, "needs a host"),
        ({"url": "ftp://host/"}, "pattern"),
        ({"token": "to\u043aen"}, "a bearer token consists of"),
        ({"token": "to ken"}, "a bearer token consists of"),
        ({"token": "token\n"}, "a bearer token consists of"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        destination(**values)


def test_report_replaced_by_another_is_named(report_dataset: Callable[[str], Dataset]) -> None:
    report = replace(report_of(report_dataset("one finding")), replaces=("1.2.3",))

    data = json.loads(Webhook(destination()).compose(report).body)["data"]

    assert data["report"]["replaces"] == ["1.2.3"]
