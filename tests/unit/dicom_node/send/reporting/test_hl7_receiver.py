"""HL7 messages to the receiver of another project (hl7v2-fhir-bridge), which knows duplicates."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from ports import free_port
from told_results import TEN_STUDIES
from v2fhir.bridge import Bridge, Result
from v2fhir.config import Config
from v2fhir.mllp import MLLPServer, ServerThread, bridge_handler
from v2fhir.mock_fhir import MockFhirServer

from dicom_node.send.destinations import sender_for
from dicom_node.send.outcome import Answer, ObjectToSend, Outcome
from dicom_node.settings.ways_out.reporting import Hl7Destination

ReportFile = Callable[..., ObjectToSend]


@dataclass
class Receiver:
    """A receiver that keeps what it is told in a FHIR server of its own."""

    port: int
    fhir: MockFhirServer
    results: list[Result] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    fhir = MockFhirServer(port=free_port()).start()
    found = Receiver(free_port(), fhir)
    settings = Config(fhir_base_url=fhir.base_url, accepted_processing_ids=("P",))
    bridge = Bridge(settings, on_result=found.results.append)
    server = ServerThread(MLLPServer(bridge_handler(bridge), port=found.port)).start()
    yield found
    server.stop()
    bridge.close()
    fhir.stop()


def sent(port: int, *items: ObjectToSend, **changes: object) -> list[Answer]:
    values = {"kind": "hl7", "name": "ris", "host": "127.0.0.1", "port": port}
    values |= {"assigning_authority": "HOSPITAL", **changes}
    sender = sender_for(Hl7Destination.model_validate(values), calling_ae_title="MAMMOCLIP")
    return list(sender.send(items))


@pytest.mark.long
def test_receiver_takes_the_results_of_ten_studies(
    receiver: Receiver, report_file: ReportFile
) -> None:
    items = [report_file(case) for case in TEN_STUDIES]

    answers = sent(receiver.port, *items)

    assert [one.status for one in answers] == ["acknowledged with AA"] * 10
    assert {one.outcome for one in answers} == {Outcome.ACCEPTED}


def test_receiver_keeps_a_preliminary_report_with_its_accession_number(
    receiver: Receiver, report_file: ReportFile
) -> None:
    sent(receiver.port, report_file("many findings"))

    (report,) = receiver.fhir.store.all("DiagnosticReport")
    assert report["status"] == "preliminary"
    assert "ACC-1" in {one["value"] for one in report["identifier"]}
    assert "RESEARCH USE ONLY" in report["conclusion"]


def test_receiver_knows_a_message_that_is_sent_again(
    receiver: Receiver, report_file: ReportFile
) -> None:
    item = report_file()

    sent(receiver.port, item)
    (answer,) = sent(receiver.port, item)

    assert answer.outcome is Outcome.ACCEPTED
    assert [one.duplicate for one in receiver.results] == [False, True]
    assert len(receiver.fhir.store.all("DiagnosticReport")) == 1


def test_receiver_whose_own_server_is_down_is_tried_again(
    receiver: Receiver, report_file: ReportFile
) -> None:
    receiver.fhir.stop()

    (answer,) = sent(receiver.port, report_file())

    assert answer.outcome is Outcome.POSTPONED
    assert answer.status == "acknowledged with AR, error 207"


def test_processing_id_that_the_receiver_does_not_take_is_refused(
    receiver: Receiver, report_file: ReportFile
) -> None:
    (answer,) = sent(receiver.port, report_file(), processing_id="D")

    assert answer.outcome is Outcome.REFUSED
    assert answer.status == "acknowledged with AR, error 202"
