"""What lies on a disk of the spool that is not mounted is neither failed nor refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ports import free_port
from sqlalchemy import update
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime


@pytest.fixture
def node(runtime_with: Callable[..., Runtime]) -> Runtime:
    archive = DicomDestination(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=free_port()
    )
    node = runtime_with(destinations=(archive,))
    with node.spool.owned():
        return node


def unmount(folder: Path) -> None:
    folder.rename(folder.with_name(f"{folder.name}-away"))
    folder.mkdir()


def mount(folder: Path) -> None:
    folder.rmdir()
    folder.with_name(f"{folder.name}-away").rename(folder)


def test_study_waits_for_its_disk_and_is_analysed_when_it_is_back(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    unmount(node.spool.root / "studies")

    waiting = run_analysis(node, analysis_id)

    assert (waiting.state, waiting.attempts) == (AnalysisState.DUE, 0)
    assert "Mount its disk" in waiting.reason

    mount(node.spool.root / "studies")
    with node.database.writing() as session:
        session.execute(update(Analysis).values(due_at=datetime.now(UTC)))

    assert run_analysis(node, analysis_id).state is AnalysisState.DONE


def test_result_on_a_disk_that_is_away_is_not_refused(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())
    run_analysis(node, due_analysis(reception))
    unmount(node.spool.root / "results")

    attempt_delivery(node, 1)

    (delivery,) = reception.rows(Delivery)
    assert delivery.state is DeliveryState.DUE
    assert "Mount its disk" in delivery.reason
