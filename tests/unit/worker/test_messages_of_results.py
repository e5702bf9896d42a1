"""Messages to reporting systems have the promises of deliveries to archives."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from ports import free_port
from sqlalchemy import update
from unit.dicom_node.node_factory import PATIENT_WORDS, Reception
from unit.dicom_node.send.hostile import serving
from unit.dicom_node.send.reporting.http_double import HttpDouble, http_double
from unit.dicom_node.send.reporting.mllp_double import answering
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.destinations.circuits import Circuit, circuit_of
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery, DeliveryOutcome, ResultObject
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime

SECRET = "whsec_UmFuZG9tIGJ5dGVzIHRoYXQgbm9ib2R5IGtub3dzIQ=="
UNREACHED = {"kind": "dicom", "name": "archive", "ae_title": "A", "host": "10.0.0.2"}


def hook(server: HttpDouble, **changes: Any) -> dict[str, Any]:
    values = {"kind": "webhook", "name": "hook", "url": server.url, "secret": SECRET}
    return {**values, "timeout_seconds": 5, **changes}


def ris(port: int, **changes: Any) -> dict[str, Any]:
    values = {"kind": "hl7", "name": "ris", "host": "127.0.0.1", "port": port}
    return {**values, "timeout_seconds": 5, **changes}


@pytest.fixture
def analysed(runtime_with: Callable[..., Runtime], reception: Reception) -> Callable[..., Runtime]:
    """Return a worker of some settings, with one study analysed for its destinations."""

    def build(*destinations: dict[str, Any], **settings: Any) -> Runtime:
        node = runtime_with(destinations=destinations, **settings)
        reception.receive(shown_mammogram())
        run_analysis(node, due_analysis(reception))
        return node

    return build


def delivery(reception: Reception, name: str = "hook") -> Delivery:
    (row,) = [one for one in reception.rows(Delivery) if one.destination == name]
    return row


def make_due(reception: Reception) -> None:
    with reception.database.writing() as session:
        session.execute(update(Delivery).values(due_at=datetime(2026, 1, 1, tzinfo=UTC)))


def test_one_message_is_sent_for_all_objects_of_a_study(
    analysed: Callable[..., Runtime], reception: Reception, log_lines: list[Any]
) -> None:
    with http_double() as server:
        node = analysed(hook(server))
        attempt_delivery(node, 1)

    assert delivery(reception).state is DeliveryState.ACCEPTED
    assert len(server.requests) == 1
    (outcome,) = reception.rows(DeliveryOutcome)
    by_id = {one.id: one.kind for one in reception.rows(ResultObject)}
    assert by_id[outcome.result_object_id] == "measurement_report"
    assert (outcome.outcome, outcome.status) == ("accepted", "HTTP 204")
    assert "results_delivered" in [one["event"] for one in log_lines]
    assert not [word for word in PATIENT_WORDS if word in str(log_lines)]


def test_message_that_was_not_taken_is_sent_again_unchanged(
    analysed: Callable[..., Runtime], reception: Reception
) -> None:
    statuses = iter([503, 204])
    with http_double(lambda _: (next(statuses), {}, b"")) as server:
        node = analysed(hook(server))
        attempt_delivery(node, 1)
        assert delivery(reception).state is DeliveryState.DUE
        make_due(reception)
        attempt_delivery(node, 1)

    assert delivery(reception).state is DeliveryState.ACCEPTED
    first, second = server.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


@pytest.mark.long
def test_message_that_was_taken_is_not_sent_again(
    analysed: Callable[..., Runtime], reception: Reception
) -> None:
    with http_double() as server:
        node = analysed(hook(server))
        attempt_delivery(node, 1)
        make_due(reception)
        attempt_delivery(node, 1)

    assert len(server.requests) == 1


def test_receiver_that_is_down_has_its_circuit_opened_and_probed(
    analysed: Callable[..., Runtime], reception: Reception, log_lines: list[Any]
) -> None:
    policy = RetrySettings(breaker_failures=1, first_probe_seconds=60)
    node = analysed(ris(free_port()), retry=policy)

    attempt_delivery(node, 1)

    row = delivery(reception, "ris")
    assert row.state is DeliveryState.DUE
    with reception.database.reading() as session:
        known = circuit_of(session, "ris", at=database_time(session))
    assert known is not None
    assert known.circuit is Circuit.OPEN
    assert "destination_down" in [one["event"] for one in log_lines]


@pytest.mark.long
def test_dry_receiver_gets_nothing_and_the_message_is_held(
    analysed: Callable[..., Runtime], reception: Reception
) -> None:
    with http_double() as server:
        node = analysed(hook(server, dry=True))
        attempt_delivery(node, 1)

    assert delivery(reception).state is DeliveryState.HELD
    assert delivery(reception).reason.startswith("dry: 1 object made and valid, nothing sent.")
    assert server.requests == []


def test_dry_receiver_says_what_could_not_be_written(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    node = runtime_with(destinations=[ris(free_port(), dry=True, character_set="ASCII")])
    reception.receive(shown_mammogram(PatientName="Müller^Åsa", SpecificCharacterSet="ISO_IR 192"))
    run_analysis(node, due_analysis(reception))

    attempt_delivery(node, 1)

    row = delivery(reception, "ris")
    assert row.state is DeliveryState.REFUSED
    assert "letters that ASCII does not" in row.reason
    assert "ller" not in row.reason


@pytest.mark.long
def test_destination_for_rules_alone_gets_nothing_by_default(
    analysed: Callable[..., Runtime], reception: Reception
) -> None:
    with http_double() as server:
        analysed(UNREACHED, hook(server, only_by_rule=True))

    assert [one.destination for one in reception.rows(Delivery)] == ["archive"]


def test_rule_on_results_has_a_message_sent_urgently(
    analysed: Callable[..., Runtime], reception: Reception
) -> None:
    rule = {
        "name": "flagged",
        "when": "score['mass'] >= 0.5",
        "destinations": ["hook"],
        "priority": "stat",
    }
    with http_double() as server:
        analysed(UNREACHED, hook(server, only_by_rule=True), result_rules=[rule])

    row = delivery(reception)
    assert (row.destination, row.priority) == ("hook", 2)


def test_message_tells_the_priority_of_its_study(
    analysed: Callable[..., Runtime], reception: Reception
) -> None:
    kept: list[bytes] = []
    rule = {"name": "flagged", "when": "score['mass'] >= 0.5", "priority": "stat"}
    with serving(answering("AA", kept=kept)) as port:
        node = analysed(ris(port, priority_field="OBR-5"), result_rules=[rule])
        attempt_delivery(node, 1)

    (order,) = [one for one in kept[0].split(b"\r") if one.startswith(b"OBR|")]
    assert order.split(b"|")[5] == b"S"


@pytest.mark.long
def test_rule_that_names_a_profile_without_a_report_is_told(
    analysed: Callable[..., Runtime], reception: Reception
) -> None:
    with http_double() as server:
        node = analysed(hook(server))
        with reception.database.writing() as session:
            session.execute(update(Delivery).values(profile="workstation"))
        attempt_delivery(node, 1)

    assert "profile workstation has no measurement report" in delivery(reception).reason
    assert server.requests == []


def test_later_report_names_its_predecessor_though_a_receiver_is_down(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    with http_double() as server:
        node = runtime_with(destinations=[hook(server), ris(free_port())])
        reception.receive(shown_mammogram("MLO"))
        run_analysis(node, due_analysis(reception))
        attempt_delivery(node, 1)
        attempt_delivery(node, 2)
        reception.receive(shown_mammogram("CC"))
        run_analysis(node, due_analysis(reception))
        attempt_delivery(node, 3)

    first, second = (json.loads(one.body)["data"]["report"] for one in server.requests)
    assert second["replaces"] == [first["sop_instance_uid"]]
