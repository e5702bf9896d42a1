"""Workers before several spools: each begins what it reaches, and leaves the rest to others."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from proving_archive import ProvingArchive
from sqlalchemy import delete, select, update
from unit.dicom_node.node_factory import Reception, second_node
from worker_factory import run_analysis, shown_mammogram

from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.site_tables import KnownSpool
from dicom_node.studies.ledger.spools import spool_names
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, ResultObject, Study
from dicom_node.studies.settling import begin_analysis
from worker.deliver.delivery import deliver_results
from worker.runtime import Runtime

ARCHIVE = DicomDestination(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=9)
HERE, THERE = "1.2.3.1", "1.2.3.2"


@pytest.fixture
def other(tmp_path: Path, reception: Reception) -> Reception:
    """Return a second node, whose spool the worker of the first does not see."""
    return second_node(reception, tmp_path / "second")


def received(node: Reception, uid: str, **attributes: Any) -> None:
    node.receive(shown_mammogram(StudyInstanceUID=uid, **attributes))


def due(reception: Reception, uid: str) -> int:
    """Make the analysis of a received study due, as settling does."""
    with reception.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == uid)).one()
        study.state = StudyState.SETTLED
        session.flush()
        return begin_analysis(session, study, because="test", at=datetime.now(UTC)).id


def test_study_of_an_unreached_spool_is_left_to_others_with_the_reason(
    node: Runtime, other: Reception, log_lines: list[Any]
) -> None:
    received(other, THERE)
    analysis_id = due(other, THERE)

    for _ in range(2):
        row = run_analysis(node, analysis_id)
        with node.database.writing() as session:
            session.execute(update(Analysis).values(due_at=datetime.now(UTC)))

    assert (row.state, row.attempts, row.dispatched_at) == (AnalysisState.DUE, 0, None)
    assert row.due_at > datetime.now(UTC)
    assert f"waits for a worker that reaches the files of {_name(other)}" in row.reason
    with node.database.reading() as session:
        (one,) = reading.summaries(session, limit=9)
    assert (one.condition, one.node) == ("waiting", _name(other))
    assert row.reason in one.reason
    assert [line["event"] for line in log_lines].count("spool_unreached") == 1


def test_study_of_its_own_spool_is_begun_in_place_of_one_that_is_not_reached(
    node: Runtime, reception: Reception, other: Reception
) -> None:
    received(other, THERE)
    received(reception, HERE)
    unreached, own = due(other, THERE), due(reception, HERE)

    assert run_analysis(node, unreached).state is AnalysisState.DUE

    with node.database.reading() as session:
        assert session.get_one(Analysis, own).state is AnalysisState.DONE
        assert session.get_one(Analysis, unreached).dispatched_at is None


def test_worker_that_sees_both_spools_analyses_a_study_that_came_by_both(
    runtime_with: Callable[..., Runtime], reception: Reception, other: Reception
) -> None:
    received(other, THERE)
    received(reception, THERE, ViewPosition="CC")
    node = runtime_with(other_spools=(other.spool.root,), destinations=(ARCHIVE,))

    row = run_analysis(node, due(other, THERE))

    assert (row.state, row.reason) == (AnalysisState.DONE, "")
    assert len(node.engine.requests[0].images) == 2  # type: ignore[attr-defined]
    results = reception.rows(ResultObject)
    assert all((other.spool.root / one.place).is_file() for one in results)
    assert reception.files("results") == []


def test_study_of_which_one_image_is_not_reached_waits_as_a_whole(
    node: Runtime, reception: Reception, other: Reception
) -> None:
    received(reception, HERE)
    received(other, HERE, ViewPosition="CC")

    row = run_analysis(node, due(reception, HERE))

    assert (row.state, row.attempts) == (AnalysisState.DUE, 0)


def test_delivery_from_an_unreached_spool_is_left_to_others(
    runtime_with: Callable[..., Runtime], reception: Reception, other: Reception
) -> None:
    received(other, THERE)
    there = runtime_with(other_spools=(other.spool.root,), destinations=(ARCHIVE,))
    run_analysis(there, due(other, THERE))
    here = runtime_with(destinations=(ARCHIVE,))

    with here.leased(Delivery, 1) as taken:
        assert taken is None

    with here.database.reading() as session:
        row = session.get_one(Delivery, 1)
    assert (row.state, row.attempts) == (DeliveryState.DUE, 0)
    assert _name(other) in row.reason
    with there.database.writing() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC)))
    with there.leased(Delivery, 1) as taken:
        assert taken is not None


def test_spool_that_goes_away_in_mid_delivery_refuses_nothing(
    runtime_with: Callable[..., Runtime], other: Reception, tmp_path: Path
) -> None:
    received(other, THERE)
    archive = ProvingArchive().start()
    try:
        destination = ARCHIVE.model_copy(update={"port": archive.port})
        node = runtime_with(other_spools=(other.spool.root,), destinations=(destination,))
        run_analysis(node, due(other, THERE))

        with node.leased(Delivery, 1) as taken:
            assert taken is not None
            other.spool.root.rename(tmp_path / "away")
            deliver_results(node, *taken)
    finally:
        archive.stop()

    with node.database.reading() as session:
        row = session.get_one(Delivery, 1)
    assert row.state is DeliveryState.DUE
    assert "waits for a worker that reaches the files of" in row.reason


def test_spool_that_goes_away_in_mid_study_costs_no_attempt(
    runtime_with: Callable[..., Runtime], reception: Reception, other: Reception, tmp_path: Path
) -> None:
    received(other, THERE)
    node = runtime_with(other_spools=(other.spool.root,), destinations=(ARCHIVE,))
    analysis_id = due(other, THERE)
    node.engine.meanwhile = lambda: other.spool.root.rename(tmp_path / "away")  # type: ignore[attr-defined]

    row = run_analysis(node, analysis_id)

    assert (row.state, row.attempts) == (AnalysisState.DUE, 0)
    assert reception.rows(ResultObject) == []
    (tmp_path / "away").rename(other.spool.root)
    node.engine.meanwhile = lambda: None  # type: ignore[attr-defined]
    with node.database.writing() as session:
        session.execute(update(Analysis).values(due_at=datetime.now(UTC)))
    assert run_analysis(node, analysis_id).state is AnalysisState.DONE


def test_longer_wait_for_another_worker_is_looked_at_more_seldom(
    node: Runtime, other: Reception
) -> None:
    received(other, THERE)
    analysis_id = due(other, THERE)
    with node.database.writing() as session:
        session.execute(update(Analysis).values(created_at=datetime.now(UTC) - timedelta(days=1)))

    row = run_analysis(node, analysis_id)

    assert row.due_at > datetime.now(UTC) + timedelta(seconds=30)


def test_work_of_before_any_spool_was_named_is_begun(node: Runtime, reception: Reception) -> None:
    received(reception, HERE)
    with node.database.writing() as session:
        session.execute(delete(KnownSpool))

    assert run_analysis(node, due(reception, HERE)).state is AnalysisState.DONE


def _name(one: Reception) -> str:
    with one.database.reading() as session:
        return spool_names(session)[2]
