"""What an analysis ends as that was overtaken while it ran: it records nothing, quietly."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.dicom_node.node_factory import (
    STUDY_UID,
    Reception,
)
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.studies.ledger.due import work
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, ResultObject
from dicom_node.studies.operator_actions import cancel_study
from mammoclip_core.errors import BundleError
from worker.runtime import Runtime


def late_image(reception: Reception) -> None:
    reception.receive(shown_mammogram("CC"))


def cancelled(reception: Reception) -> None:
    with reception.database.writing() as session:
        cancel_study(session, STUDY_UID, at=datetime.now(UTC))


def lease_lost(reception: Reception) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with reception.database.writing() as session:
        work.recover_lost(session, Analysis, maximum_attempts=9, at=later)


OVERTAKERS = {
    late_image: AnalysisState.SUPERSEDED,
    cancelled: AnalysisState.CANCELLED,
    lease_lost: AnalysisState.DUE,
}


@pytest.mark.parametrize("overtake", OVERTAKERS)
def test_analysis_that_is_overtaken_records_nothing(
    node: Runtime, reception: Reception, overtake: Callable[[Reception], None]
) -> None:
    reception.receive(shown_mammogram())
    node.engine.meanwhile = lambda: overtake(reception)

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.findings) == (OVERTAKERS[overtake], None)
    assert reception.rows(ResultObject) == []
    # Nor does anything stay that no row names.
    assert reception.files("results") == []


@pytest.mark.parametrize("error", [BundleError("altered"), ValueError("a bug")])
@pytest.mark.parametrize("overtake", OVERTAKERS)
def test_analysis_that_breaks_after_it_was_overtaken_ends_quietly(
    node: Runtime,
    reception: Reception,
    log_lines: list[Any],
    overtake: Callable[[Reception], None],
    error: Exception,
) -> None:
    def meanwhile() -> None:
        overtake(reception)
        raise error

    reception.receive(shown_mammogram())
    node.engine.meanwhile = meanwhile

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is OVERTAKERS[overtake]
    assert "analysis_overtaken" in [line["event"] for line in log_lines]
