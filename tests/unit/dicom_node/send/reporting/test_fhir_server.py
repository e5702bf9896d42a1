"""Transactions to a FHIR server of another project, and to servers that answer badly."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from http_double import http_double
from ports import free_port
from v2fhir.mock_fhir import MockFhirServer

from dicom_node.errors import DestinationDownError
from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.send.probe import answered_status
from dicom_node.settings.ways_out.reporting import FhirDestination

ReportFile = Callable[..., ObjectToSend]


@pytest.fixture
def fhir() -> Iterator[MockFhirServer]:
    server = MockFhirServer(port=free_port()).start()
    yield server
    server.stop()


def destination(url: str, **changes: Any) -> FhirDestination:
    values = {"kind": "fhir", "name": "fhir", "url": url, "timeout_seconds": 5, **changes}
    return FhirDestination.model_validate(values)


def sent(url: str, *items: ObjectToSend, **changes: Any) -> list[Answer]:
    sender = sender_for(destination(url, **changes), calling_ae_title="MAMMOCLIP")
    return list(sender.send(items))


def test_server_creates_what_a_report_says(fhir: MockFhirServer, report_file: ReportFile) -> None:
    (answer,) = sent(fhir.base_url, report_file("four views"))

    assert (answer.outcome, answer.status) == (Outcome.ACCEPTED, "HTTP 200")
    (report,) = fhir.store.all("DiagnosticReport")
    observations = {f"Observation/{one['id']}" for one in fhir.store.all("Observation")}
    assert {one["reference"] for one in report["result"]} <= observations
    assert len(fhir.store.all("BodyStructure")) == 4


def test_report_that_is_sent_again_creates_nothing(
    fhir: MockFhirServer, report_file: ReportFile
) -> None:
    item = report_file("many findings")
    sent(fhir.base_url, item)
    before = fhir.store.counts()

    (answer,) = sent(fhir.base_url, item)

    assert answer.outcome is Outcome.ACCEPTED
    assert fhir.store.counts() == before


def test_software_is_one_device_for_all_studies(
    fhir: MockFhirServer, report_file: ReportFile
) -> None:
    sent(fhir.base_url, report_file("one finding"), report_file("no finding"))

    software = [one for one in fhir.store.all("Device") if "parent" not in one]
    assert len(software) == 1
    assert len(fhir.store.all("DiagnosticReport")) == 2


def test_message_is_posted_to_the_base_as_fhir_json(report_file: ReportFile) -> None:
    with http_double(500) as server:
        sent(server.url, report_file(), token="abc")

    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.headers["content-type"].startswith("application/fhir+json")
    assert request.headers["authorization"] == "Bearer abc"


def _response(*statuses: str) -> bytes:
    entries = [{"response": {"status": one}} for one in statuses]
    return json.dumps({"type": "transaction-response", "entry": entries}).encode()


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"", Outcome.POSTPONED),
        (200, b"<html>", Outcome.POSTPONED),
        (200, b"[" * 100_000, Outcome.POSTPONED),
        (200, b'{"entry": 1}', Outcome.POSTPONED),
        (200, _response(), Outcome.POSTPONED),
        (200, _response("201 Created"), Outcome.POSTPONED),
        (200, _response(*["201 Created"] * 9, "412 Precondition Failed"), Outcome.POSTPONED),
        (200, _response(*["201 Created"] * 9, "200 OK"), Outcome.ACCEPTED),
        (400, b"", Outcome.REFUSED),
        (412, b"", Outcome.REFUSED),
        (422, b"", Outcome.REFUSED),
        (401, b"", Outcome.POSTPONED),
        (404, b"", Outcome.POSTPONED),
        (503, b"", Outcome.POSTPONED),
    ],
)
def test_answer_counts_if_it_is_for_every_resource(
    report_file: ReportFile, status: int, body: bytes, outcome: Outcome
) -> None:
    with http_double((status, {"Content-Type": "application/fhir+json"}, body)) as server:
        (answer,) = sent(server.url, report_file("one finding"))

    assert answer.outcome is outcome


def test_message_goes_to_no_other_server(report_file: ReportFile) -> None:
    with (
        http_double((308, {"Location": "http://127.0.0.1:1/r5"}, b"")) as server,
        pytest.raises(DestinationDownError, match="redirects to another server"),
    ):
        sent(server.url, report_file())


def test_server_is_asked_for_its_capabilities_first(fhir: MockFhirServer) -> None:
    assert answered_status(destination(fhir.base_url)) == 200


def test_report_without_a_patient_id_is_refused_before_anything_is_sent(
    report_file: ReportFile,
) -> None:
    with http_double() as server:
        (answer,) = sent(server.url, report_file("empty Type 2 attributes missing"))

    assert answer.outcome is Outcome.REFUSED
    assert server.requests == []
