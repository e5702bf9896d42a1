"""A study that waits because of a fault of the site says so, until the fault has ended."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from celery.exceptions import Reject
from sqlalchemy import update
from unit.dicom_node.node_factory import Reception, analysis_row, study_row
from worker_factory import due_analysis, shown_mammogram

from dicom_node.errors import OutOfResourcesError
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis
from mammoclip_core.errors import BundleError, LicenceError
from worker.runtime import Runtime

MISSING = BundleError("no bundle in /opt/bundle: set model.bundle")


@pytest.fixture
def waiting(reception: Reception) -> int:
    """Return the analysis of a received study of which the broker was told."""
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    with reception.database.writing() as session:
        session.execute(update(Analysis).values(dispatched_at=datetime.now(UTC)))
    return analysis_id


def reasons(reception: Reception) -> list[str]:
    with reception.database.reading() as session:
        return [one.reason for one in reading.summaries(session, limit=9)]


def find(node: Runtime, error: Exception | None) -> None:
    """Have the next look at the site find a fault, or none."""

    def look() -> None:
        if error is not None:
            raise error

    node.site.look = look
    node.site.note("found before")
    node.site._look_at = 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MISSING, "no bundle in /opt/bundle: set model.bundle"),
        (LicenceError("accept the terms of the bundle"), "accept the terms of the bundle"),
        (OutOfResourcesError("the spool is read-only"), "the spool is read-only"),
        (MemoryError(), "the machine is short of memory"),
    ],
)
def test_each_study_that_waits_says_which_fault_of_the_site_was_found(
    node: Runtime,
    reception: Reception,
    own_tasks: Any,
    *,
    waiting: int,
    error: Exception,
    words: str,
) -> None:
    with reception.database.writing() as session:
        analysis_row(session, study_row(session, "1.2.3"))
    find(node, error)

    with pytest.raises(Reject):
        own_tasks.analyze(waiting)

    assert len(reasons(reception)) == 2
    for reason in reasons(reception):
        assert reason.startswith(f"no study can be analysed: {words} (found by ")
        assert "check that one is running" not in reason
    (row, _) = reception.rows(Analysis)
    assert (row.state, row.attempts, row.version) == (AnalysisState.DUE, 0, 0)
    assert row.dispatched_at is not None


def test_reason_is_gone_when_the_fault_has_ended(
    node: Runtime,
    reception: Reception,
    own_tasks: Any,
    waiting: int,
) -> None:
    with reception.database.writing() as session:
        other = analysis_row(session, study_row(session, "1.2.3"))
    find(node, MISSING)
    for analysis_id in (waiting, other.id):
        with pytest.raises(Reject):
            own_tasks.analyze(analysis_id)
    find(node, None)

    own_tasks.analyze(waiting)

    assert not any("no study can be analysed" in reason for reason in reasons(reception))
    assert [row.reason for row in reception.rows(Analysis)] == ["", ""]


def test_new_process_takes_back_what_an_ended_one_has_found(
    node: Runtime,
    reception: Reception,
    own_tasks: Any,
    waiting: int,
    runtime_with: Callable[..., Runtime],
) -> None:
    node.stand_still(waiting, "cuda:0 stopped answering")
    (reason,) = reasons(reception)
    assert "cuda:0 stopped answering" in reason

    runtime_with().go_on()

    assert reasons(reception) == [""]


def test_study_behind_a_worker_that_analyses_waits_only_for_that(
    node: Runtime, reception: Reception, waiting: int
) -> None:
    node.stand_still(waiting, "no bundle")
    with reception.database.writing() as session:
        other = analysis_row(session, study_row(session, "1.2.3")).id

    with node.leased(Analysis, other):
        assert not any(reasons(reception))


def test_fault_of_another_worker_is_no_reason_of_a_study_that_is_begun(
    node: Runtime, reception: Reception, waiting: int
) -> None:
    node.stand_still(waiting, "no bundle")

    with node.leased(Analysis, waiting):
        (row,) = reception.rows(Analysis)

    assert (row.state, row.reason) == (AnalysisState.RUNNING, "")


def test_fault_is_entered_at_nothing_that_is_under_way(
    node: Runtime, reception: Reception, waiting: int
) -> None:
    with node.leased(Analysis, waiting):
        node.stand_still(waiting, "no bundle")
        (row,) = reception.rows(Analysis)

    assert row.reason == ""
