"""What a new revision replaces is retracted in the archive, once the archive has the new."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import update
from test_delivery_tasks import Archive
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.facts.result_kinds import KEY_OBJECT_SELECTION
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.ways_out.results import ProfileSettings
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery, ResultObject
from worker.deliver.delivery import deliver_results
from worker.runtime import Runtime

KINDS = ("measurement_report", "segmentation", "secondary_capture", "rejection_note")


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    archive._entity.add_supported_context(KEY_OBJECT_SELECTION)
    yield archive.start()
    archive.stop()


@pytest.fixture
def node(runtime_with: Callable[..., Runtime], archive: Archive) -> Runtime:
    destination = DicomDestination(
        name="archive",
        ae_title="ARCHIVE",
        host="127.0.0.1",
        port=archive.port,
        profile="retracting",
        timeout_seconds=5,
    )
    return runtime_with(
        destinations=(destination,), profiles={"retracting": ProfileSettings(objects=KINDS)}
    )


@pytest.fixture
def replaced(node: Runtime, reception: Reception, archive: Archive) -> Runtime:
    """Return a runtime whose archive has revision 1, with the delivery of revision 2 due."""
    reception.receive(shown_mammogram())
    run_analysis(node, due_analysis(reception))
    deliver(node, 1)
    node.engine.score = 0.6
    run_analysis(node, due_analysis(reception))
    archive.received.clear()
    return node


def deliver(node: Runtime, delivery_id: int) -> Delivery:
    with node.database.writing() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC)))
    with node.leased(Delivery, delivery_id) as taken:
        if taken is not None:
            deliver_results(node, *taken)
    with node.database.reading() as session:
        return session.get_one(Delivery, delivery_id)


def note_of(reception: Reception) -> str:
    (note,) = [row for row in reception.rows(ResultObject) if row.kind == "rejection_note"]
    return note.sop_instance_uid


def test_note_comes_after_what_replaces_the_former_results(
    replaced: Runtime, reception: Reception, archive: Archive
) -> None:
    delivery = deliver(replaced, 2)

    assert delivery.state is DeliveryState.ACCEPTED
    assert archive.received[-1] == note_of(reception)
    assert len(archive.received) == len(KINDS)


@pytest.mark.parametrize("status", [0xA700, 0xC000])
def test_nothing_is_retracted_while_something_that_replaces_it_is_not_taken(
    replaced: Runtime, reception: Reception, archive: Archive, status: int
) -> None:
    archive.statuses = [0x0000, status]

    deliver(replaced, 2)

    assert len(archive.received) == len(KINDS) - 1
    assert note_of(reception) not in archive.received


def test_delivery_that_is_resumed_ends_with_the_note(
    replaced: Runtime, reception: Reception, archive: Archive
) -> None:
    archive.statuses = [0x0000, 0xA700]
    deliver(replaced, 2)
    archive.received.clear()

    delivery = deliver(replaced, 2)

    assert delivery.state is DeliveryState.ACCEPTED
    assert archive.received[1:] == [note_of(reception)]
