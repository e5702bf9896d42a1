"""For a dry destination everything is made and validated, and nothing is sent."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pydicom
import pytest
from sqlalchemy import delete, update
from test_delivery_tasks import Archive
from unit.dicom_node.node_factory import PATIENT_WORDS, Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.queries.reading import find_study, study_record
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery, DeliveryOutcome, ResultObject, Study
from dicom_node.studies.operator_actions import retry_study
from dicom_node.studies.retrying_many import retry_destination
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive().start()
    yield archive
    archive.stop()


Site = Callable[..., Runtime]


@pytest.fixture
def site(runtime_with: Callable[..., Runtime], archive: Archive) -> Site:
    def build(*, dry: bool = True) -> Runtime:
        destination = DicomDestination(
            name="archive",
            ae_title="ARCHIVE",
            host="127.0.0.1",
            port=archive.port,
            timeout_seconds=5,
            dry=dry,
        )
        return runtime_with(destinations=(destination,))

    return build


@pytest.fixture
def analysed(site: Site, reception: Reception) -> Runtime:
    node = site()
    reception.receive(shown_mammogram())
    run_analysis(node, due_analysis(reception))
    return node


def delivery(reception: Reception) -> Delivery:
    (row,) = reception.rows(Delivery)
    return row


def test_everything_is_made_and_valid_and_nothing_is_sent(
    analysed: Runtime, reception: Reception, archive: Archive, log_lines: list[Any]
) -> None:
    attempt_delivery(analysed, 1)

    row = delivery(reception)
    assert row.state is DeliveryState.HELD
    assert row.reason.startswith("dry: 3 objects made and valid, nothing sent. To send them: dry")
    assert archive.received == []
    assert reception.rows(DeliveryOutcome) == []
    assert [line["event"] for line in log_lines] == ["delivery_held"]
    with analysed.database.reading() as session:
        study = find_study(session, reception.rows(Study)[0].study_instance_uid)
        record = study_record(session, study, destinations=frozenset({"archive"}))
    assert record["summary"].condition == "held"
    assert "dry: 3 objects made and valid" in record["summary"].reason
    assert record["deliveries"][0]["state"] == "held"


@pytest.mark.parametrize("by_study", [True, False])
def test_what_was_held_is_sent_when_it_is_asked_for_and_dry_no_longer(
    analysed: Runtime, site: Site, reception: Reception, archive: Archive, by_study: bool
) -> None:
    attempt_delivery(analysed, 1)
    attempt_delivery(site(dry=False), 1)
    assert archive.received == []

    if by_study:
        with analysed.database.writing() as session:
            uid = reception.rows(Study)[0].study_instance_uid
            assert retry_study(session, uid, at=datetime.now(UTC)) == [
                "delivery to archive is due again"
            ]
    else:
        assert retry_destination(analysed.database, "archive") == 1
    attempt_delivery(site(dry=False), 1)

    assert delivery(reception).state is DeliveryState.ACCEPTED
    assert len(archive.received) == 3


def test_object_that_is_not_valid_is_named(
    analysed: Runtime, reception: Reception, log_lines: list[Any]
) -> None:
    (report,) = [one for one in reception.rows(ResultObject) if one.kind == "measurement_report"]
    file = reception.spool.file(report.place)
    dataset = pydicom.dcmread(file)
    dataset.VerificationFlag = "VERIFIED"
    dataset.save_as(file)

    attempt_delivery(analysed, 1)

    row = delivery(reception)
    assert row.state is DeliveryState.REFUSED
    assert row.reason == (
        f"dry, and not valid: {report.sop_instance_uid}: VerificationFlag is not UNVERIFIED"
    )
    assert not [word for word in PATIENT_WORDS if word in str(log_lines) + row.reason]


def test_file_that_is_lost_is_named(analysed: Runtime, reception: Reception) -> None:
    reception.spool.file(reception.rows(ResultObject)[0].place).unlink()

    attempt_delivery(analysed, 1)

    assert "cannot be read: FileNotFoundError" in delivery(reception).reason


def test_object_that_should_have_been_made_is_named(
    analysed: Runtime, reception: Reception, archive: Archive
) -> None:
    with analysed.database.writing() as session:
        session.execute(delete(ResultObject).where(ResultObject.kind == "measurement_report"))

    attempt_delivery(analysed, 1)

    assert delivery(reception).reason == (
        "dry, and not valid: the analysis made no measurement_report"
    )
    assert archive.received == []


def test_later_revision_replaces_what_is_held(analysed: Runtime, reception: Reception) -> None:
    attempt_delivery(analysed, 1)

    run_analysis(analysed, due_analysis(reception))
    with analysed.database.writing() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC)))
    attempt_delivery(analysed, 2)

    states = [row.state for row in reception.rows(Delivery)]
    assert states == [DeliveryState.EXPIRED, DeliveryState.HELD]
