"""A worker that is told to end at once gives back what it has under way, uncounted."""

import pytest
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.studies.ledger.states import AnalysisState
from worker.runtime import Runtime
from worker.unfinished import give_back_at_the_end


def test_analysis_under_way_is_due_again_at_once_and_its_attempt_does_not_count(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    node.engine.meanwhile = lambda: give_back_at_the_end(node)

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    assert "told to end" in analysis.reason
    assert analysis.due_at <= node.database.now()
    assert reception.files("results") == []


@pytest.mark.parametrize("twice", [False, True])
def test_nothing_is_given_back_by_a_worker_that_analyses_nothing(
    node: Runtime, reception: Reception, twice: bool
) -> None:
    reception.receive(shown_mammogram())
    if twice:
        node.engine.meanwhile = lambda: [give_back_at_the_end(node) for _ in range(2)]

    analysis = run_analysis(node, due_analysis(reception))
    give_back_at_the_end(node)

    assert analysis.state is (AnalysisState.DUE if twice else AnalysisState.DONE)
