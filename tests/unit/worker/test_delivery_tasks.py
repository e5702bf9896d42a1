"""One attempt to deliver, against a storage SCP on loopback."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from ports import free_port
from pynetdicom import AE, evt
from sqlalchemy import delete, update
from sqlalchemy.exc import OperationalError
from unit.dicom_node.node_factory import PATIENT_WORDS, STUDY_UID, Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.due import outcomes, work
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery, DeliveryOutcome, ResultObject
from worker.deliver.delivery import attempt_delivery, begin_delivery, deliver_results
from worker.runtime import Runtime

RESULT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.34",
)


class Archive:
    """A storage SCP that answers as a test wants it to."""

    def __init__(self) -> None:
        self.port = free_port()
        self.statuses: list[int] = []
        self.received: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        entity = AE(ae_title="ARCHIVE")
        for sop_class in RESULT_CLASSES:
            entity.add_supported_context(sop_class)
        self._entity = entity
        self._server: Any = None

    def start(self) -> "Archive":
        handlers = [(evt.EVT_C_STORE, self._on_store)]
        address = ("127.0.0.1", self.port)
        self._server = self._entity.start_server(address, block=False, evt_handlers=handlers)
        return self

    def know(self, *callers: str) -> None:
        """Accept associations of these AE titles only."""
        self._entity.require_calling_aet = list(callers)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()

    def _on_store(self, event: evt.Event) -> int:
        self.meanwhile()
        self.received.append(str(event.request.AffectedSOPInstanceUID))
        return self.statuses.pop(0) if self.statuses else 0x0000


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.stop()


@pytest.fixture
def delivering(
    runtime_with: Callable[..., Runtime], reception: Reception, archive: Archive
) -> Runtime:
    """Return a runtime with a delivery of three objects to the archive due."""
    destination = DicomDestination(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=archive.port, timeout_seconds=5
    )
    node = runtime_with(destinations=(destination,))
    reception.receive(shown_mammogram())
    run_analysis(node, due_analysis(reception))
    return node


def deliver(node: Runtime) -> Delivery:
    """Do what the task does, and return the row afterwards."""
    with node.leased(Delivery, 1) as taken:
        if taken is not None:
            deliver_results(node, *taken)
    with node.database.reading() as session:
        return session.get_one(Delivery, 1)


def make_due(node: Runtime) -> None:
    with node.database.writing() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC)))


def test_results_are_delivered_in_order(
    delivering: Runtime, archive: Archive, reception: Reception
) -> None:
    archive.start()

    delivery = deliver(delivering)

    assert (delivery.state, delivery.reason) == (DeliveryState.ACCEPTED, "")
    assert archive.received == [row.sop_instance_uid for row in reception.rows(ResultObject)]
    assert {row.outcome for row in reception.rows(DeliveryOutcome)} == {"accepted"}


def test_log_lines_of_a_delivery_name_its_study(delivering: Runtime, archive: Archive) -> None:
    archive.start()

    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        attempt_delivery(delivering, 1)
        structlog.get_logger("after").info("after")

    assert [line["event"] for line in lines] == ["results_delivered", "after"]
    assert (lines[0]["study"], lines[0]["delivery"]) == (STUDY_UID, 1)
    assert "study" not in lines[1]


def test_delivery_names_nobody(delivering: Runtime, archive: Archive, log_lines: list[Any]) -> None:
    archive.start()

    deliver(delivering)

    assert [line["event"] for line in log_lines] == ["results_delivered"]
    assert not [word for word in PATIENT_WORDS if word in str(log_lines)]


ABSENT_WITHOUT_A_REGION = ("segmentation", "presentation_state", "attention_segmentation")


def profile_of(*kinds: str) -> dict[str, Any]:
    """Return settings whose one destination is sent these kinds of objects."""
    destination = DicomDestination(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=free_port(), profile="own"
    )
    return {"profiles": {"own": {"objects": kinds}}, "destinations": (destination,)}


@pytest.mark.parametrize("kind", ABSENT_WITHOUT_A_REGION)
def test_study_without_a_region_is_delivered_to_who_takes_only_regions(
    runtime_with: Callable[..., Runtime], reception: Reception, kind: str
) -> None:
    node = runtime_with(**profile_of(kind))
    node.engine.finds_nothing = True
    reception.receive(shown_mammogram())
    run_analysis(node, due_analysis(reception))

    delivery = deliver(node)

    assert (delivery.state, delivery.reason) == (DeliveryState.ACCEPTED, "")


def test_object_that_has_to_be_there_and_is_not_is_named(
    delivering: Runtime, archive: Archive, reception: Reception
) -> None:
    archive.start()
    with delivering.database.writing() as session:
        session.execute(delete(ResultObject).where(ResultObject.kind == "measurement_report"))

    delivery = deliver(delivering)

    assert delivery.state is DeliveryState.REFUSED
    assert delivery.reason == (
        "the analysis made no measurement_report, which profile ohif contains: "
        "retry the study to have it analysed again, or choose another profile first"
    )
    assert archive.received == [row.sop_instance_uid for row in reception.rows(ResultObject)]


def test_late_message_sends_nothing_again(delivering: Runtime, archive: Archive) -> None:
    archive.start()
    deliver(delivering)

    deliver(delivering)

    assert len(archive.received) == 3


def test_archive_that_is_full_is_tried_again_with_what_it_did_not_take(
    delivering: Runtime, archive: Archive
) -> None:
    archive.start().statuses = [0x0000, 0xA700, 0x0000]
    before = datetime.now(UTC)

    first = deliver(delivering)

    assert (first.state, first.reason) == (DeliveryState.DUE, "1 object: 0xA700")
    assert first.due_at >= before + timedelta(seconds=7.5)
    refused_once = archive.received[1]
    make_due(delivering)
    assert deliver(delivering).state is DeliveryState.ACCEPTED
    assert archive.received[3:] == [refused_once]


def test_archive_that_refuses_for_good_is_not_tried_again(
    delivering: Runtime, archive: Archive
) -> None:
    archive.start().statuses = [0x0000, 0xC000, 0x0000]

    delivery = deliver(delivering)

    assert (delivery.state, delivery.reason) == (DeliveryState.REFUSED, "1 object: 0xC000")
    assert len(archive.received) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_archive_that_is_down_is_tried_later(delivering: Runtime, archive: Archive) -> None:
    delivery = deliver(delivering)

    assert delivery.state is DeliveryState.DUE
    assert delivery.reason.startswith("archive at 127.0.0.1:")
    assert "does not answer. Check that it is running, and host and port" in delivery.reason
    assert delivery.dispatched_at is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_archive_that_stays_down_is_given_up_after_its_time(
    delivering: Runtime, archive: Archive
) -> None:
    with delivering.database.writing() as session:
        session.execute(update(Delivery).values(created_at=datetime(2020, 1, 1, tzinfo=UTC)))

    assert deliver(delivering).state is DeliveryState.EXPIRED


def test_destination_that_left_the_settings_keeps_its_deliveries(
    delivering: Runtime, runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    delivery = deliver(runtime_with(destinations=()))

    assert (delivery.state, delivery.attempts) == (DeliveryState.DUE, 0)
    assert delivery.dispatched_at is None
    assert reception.rows(DeliveryOutcome) == []


def test_worker_with_older_settings_leaves_a_new_destination_to_others(
    delivering: Runtime,
    runtime_with: Callable[..., Runtime],
    reception: Reception,
    log_lines: list[Any],
) -> None:
    node = runtime_with(destinations=())
    before = datetime.now(UTC)

    for _ in range(2):
        assert begin_delivery(node, 1)

    (row,) = reception.rows(Delivery)
    assert (row.state, row.attempts) == (DeliveryState.DUE, 0)
    assert row.due_at > before + timedelta(seconds=30)
    assert [line["event"] for line in log_lines] == ["destination_unknown"]


def test_result_file_that_is_lost_is_refused(
    delivering: Runtime, archive: Archive, reception: Reception
) -> None:
    archive.start()
    reception.spool.file(reception.rows(ResultObject)[0].place).unlink()

    delivery = deliver(delivering)

    assert delivery.state is DeliveryState.REFUSED
    assert "cannot be read" in delivery.reason
    assert len(archive.received) == 2


def lose_lease(node: Runtime) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with node.database.writing() as session:
        work.recover_lost(session, Delivery, maximum_attempts=9, at=later)


def test_delivery_whose_lease_was_lost_ends_nothing(
    delivering: Runtime, archive: Archive, log_lines: list[Any]
) -> None:
    archive.start().meanwhile = lambda: lose_lease(delivering)

    delivery = deliver(delivering)

    assert delivery.state is DeliveryState.DUE
    assert "delivery_overtaken" in [line["event"] for line in log_lines]


def test_bug_in_a_delivery_is_told_and_tried_again(
    delivering: Runtime, reception: Reception, log_lines: list[Any]
) -> None:
    with delivering.database.writing() as session:
        session.execute(update(ResultObject).values(place="../outside"))

    delivery = deliver(delivering)

    assert (delivery.state, delivery.reason) == (DeliveryState.DUE, "unexpected error: ValueError")
    assert "delivery_failed" in [line["event"] for line in log_lines]


def test_ledger_that_is_away_during_a_delivery_is_told_as_such_and_not_as_a_bug(
    delivering: Runtime,
    archive: Archive,
    log_lines: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive.start()

    def is_away(*_arguments: object, **_options: object) -> None:
        raise OperationalError("COMMIT", {}, OSError("disk I/O error"))

    with monkeypatch.context() as away:
        away.setattr(outcomes, "record_outcome", is_away)
        attempt_delivery(delivering, 1)

    events = [line["event"] for line in log_lines]
    assert "site_fault" in events
    assert "delivery_failed" not in events
    lose_lease(delivering)
    with delivering.database.writing() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC)))
    assert deliver(delivering).state is DeliveryState.ACCEPTED


def test_bug_in_a_delivery_whose_lease_was_lost_ends_quietly(
    delivering: Runtime, log_lines: list[Any]
) -> None:
    with delivering.database.writing() as session:
        session.execute(update(ResultObject).values(place="../outside"))

    with delivering.leased(Delivery, 1) as taken:
        lose_lease(delivering)
        deliver_results(delivering, *taken)

    assert "delivery_overtaken" in [line["event"] for line in log_lines]
