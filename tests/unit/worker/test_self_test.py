"""Before a study's last attempt the worker analyses test images, and says how that went."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import update
from unit.dicom_node.node_factory import Reception
from worker_factory import break_at_studies, due_analysis, run_analysis, shown_mammogram

from dicom_node.canary import phantom
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Transition
from mammoclip_core.analysis.engine import StudyRequest
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.engines.choice import load_engine
from mammoclip_core.errors import DeviceError
from mammoclip_core.findings import StudyAnalysis
from worker.analyze import self_test
from worker.analyze.models import RouteFaultError
from worker.analyze.self_test import TEST_IMAGE
from worker.runtime import Runtime
from worker.stages import Stage


@pytest.fixture
def node(runtime_with: Callable[..., Runtime]) -> Runtime:
    """Return a runtime in which a study may be tried twice."""
    return runtime_with(work={"maximum_attempts": 2})


def run_until_given_up(node: Runtime, reception: Reception) -> Analysis:
    """Try a study as often as it is tried, and not for ever."""
    analysis_id = due_analysis(reception)
    for _ in range(20):
        with node.database.writing() as session:
            session.execute(update(Analysis).values(due_at=database_time(session)))
        analysis = run_analysis(node, analysis_id)
        if analysis.state is AnalysisState.FAILED:
            break
    return analysis


def test_worker_is_tested_once_and_the_history_says_so(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())
    asked = break_at_studies(node.engine, MemoryError())

    analysis = run_until_given_up(node, reception)

    assert analysis.state is AnalysisState.FAILED
    assert [one.study_instance_uid == CANARY_STUDY for one in asked[-2:]] == [True, False]
    assert sum(one.study_instance_uid == CANARY_STUDY for one in asked) == 1
    (tested,) = [row for row in reception.rows(Transition) if row.event == "worker_tested"]
    assert tested.reason == f"{node.holder} analysed test images before the last attempt"


def test_study_that_succeeds_needs_no_test(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())

    analysis = run_analysis(node, due_analysis(reception))

    assert analysis.state is AnalysisState.DONE
    assert [one.study_instance_uid != CANARY_STUDY for one in node.engine.requests] == [True]
    assert list(node.spool.root.rglob(f"{TEST_IMAGE}*")) == []


def answer_no_test(
    analyze: Callable[[StudyRequest], StudyAnalysis], request: StudyRequest
) -> StudyAnalysis | None:
    """Answer for studies as before, and for test images by nothing."""
    answer = analyze(request)
    return None if request.study_instance_uid == CANARY_STUDY else answer


@pytest.mark.parametrize("how", ["raises", "answers nothing", "fails images"])
def test_worker_that_fails_its_test_images_fails_no_study(
    node: Runtime, reception: Reception, how: str
) -> None:
    reception.receive(shown_mammogram())
    asked = break_at_studies(node.engine, MemoryError())
    if how == "fails images":
        node.engine.failing = frozenset({f"{CANARY_STUDY}.1.3"})
    elif how == "raises":
        node.engine.meanwhile = lambda: {}["x"]
    else:
        node.engine.analyze = partial(answer_no_test, node.engine.analyze)

    analysis = run_until_given_up(node, reception)

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 1)
    said = {
        "raises": "the worker cannot analyse: KeyError",
        "answers nothing": "the worker cannot analyse: AttributeError",
        "fails images": "no pixels",
    }[how]
    assert analysis.reason.startswith(
        f"test images cannot be analysed: {said}; the worker itself may be at fault"
    )
    assert asked[-1].study_instance_uid == CANARY_STUDY
    assert "worker_tested" not in [row.event for row in reception.rows(Transition)]


def test_worker_that_cannot_draw_fails_no_study(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing and writing results are tested as analysing is."""
    reception.receive(shown_mammogram())

    def broken(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("dicom_node.objects.results.stream_results", broken)

    analysis = run_until_given_up(node, reception)

    assert analysis.state is AnalysisState.DUE
    assert "test images cannot be analysed: the machine is short of memory" in analysis.reason


def test_bundle_of_a_rule_that_cannot_be_used_is_no_fault_of_the_worker(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception.receive(shown_mammogram())

    def unusable(_: str) -> None:
        raise RouteFaultError("bundle second cannot be used")

    monkeypatch.setattr(self_test, "wants_test", lambda *_, **__: True)
    monkeypatch.setattr(node, "model", unusable)

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    assert analysis.reason == "bundle second cannot be used"


@pytest.mark.parametrize("compiles", [False, True])
def test_test_has_time_for_all_stages_and_for_compiling(
    runtime_with: Callable[..., Runtime],
    reception: Reception,
    monkeypatch: pytest.MonkeyPatch,
    compiles: bool,
) -> None:
    """The process before was ended by the study: this one compiles at its test images."""
    work = {"stage_seconds": 100, "stage_seconds_per_image": 10, "loading_seconds": 900}
    node = runtime_with(model={"compile": compiles}, work=work)
    reception.receive(shown_mammogram())
    allowed: dict[Stage, float] = {}
    enter = node.stages.enter

    def entered(stage: Stage, seconds: float) -> None:
        allowed[stage] = seconds
        enter(stage, seconds)

    monkeypatch.setattr(self_test, "wants_test", lambda *_, **__: True)
    monkeypatch.setattr(node.stages, "enter", entered)

    assert run_analysis(node, due_analysis(reception)).state is AnalysisState.DONE

    assert allowed[Stage.TESTING] == 4 * (100 + 4 * 10) + (900 if compiles else 0)


def test_worker_is_tested_before_it_reads_anything_of_the_study(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a study, or a retraction, that breaks the worker while it is read would never end."""
    reception.receive(shown_mammogram())

    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("worker.analyze.analysis.read_order", broken)

    assert run_until_given_up(node, reception).state is AnalysisState.FAILED


def test_test_leaves_no_results_behind(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())
    break_at_studies(node.engine, MemoryError())

    run_until_given_up(node, reception)

    assert list((node.spool.root / "results").rglob("*.dcm")) == []
    assert [one for one in (node.spool.root / "results").rglob("*") if one.is_file()] == []


def test_damaged_test_images_are_made_anew(node: Runtime, reception: Reception) -> None:
    reception.receive(shown_mammogram())
    break_at_studies(node.engine, MemoryError())
    damaged = node.spool.root / f"{TEST_IMAGE}-2.dcm"
    damaged.write_bytes(b"no image")

    assert run_until_given_up(node, reception).state is AnalysisState.FAILED
    assert damaged.stat().st_size > 100_000


def test_worker_that_lost_its_claim_while_it_was_tested_vouches_for_nobody(
    node: Runtime, reception: Reception
) -> None:
    reception.receive(shown_mammogram())
    answer = node.engine.analyze

    def overtaken(request: StudyRequest) -> StudyAnalysis:
        if request.study_instance_uid != CANARY_STUDY:
            raise MemoryError
        with node.database.writing() as session:
            session.execute(update(Analysis).values(version=Analysis.version + 1))
        return answer(request)

    node.engine.analyze = overtaken  # type: ignore[method-assign]

    run_until_given_up(node, reception)

    assert "worker_tested" not in [row.event for row in reception.rows(Transition)]


def test_study_that_breaks_the_device_of_every_process_fails_in_the_end(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    """A process ends with its device, and with it what it knows of the study."""
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)

    for _ in range(20):
        node = runtime_with(work={"maximum_attempts": 2})
        break_at_studies(node.engine, DeviceError("cuda:0 stopped answering"))
        with node.database.writing() as session:
            session.execute(update(Analysis).values(due_at=database_time(session)))
        analysis = run_analysis(node, analysis_id)
        if analysis.state is AnalysisState.FAILED:
            break

    assert analysis.state is AnalysisState.FAILED


def test_demonstration_model_analyses_the_test_images(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phantom, "TIMES", 6)
    reception.receive(shown_mammogram())
    engine = load_engine(demonstration_bundle())
    engine.read_by(node.decoding.read_image)
    node.engine, node.manifest = engine, engine.manifest
    asked = break_at_studies(node.engine, MemoryError())

    assert run_until_given_up(node, reception).state is AnalysisState.FAILED

    (request,) = [one for one in asked if one.study_instance_uid == CANARY_STUDY]
    assert {one.path.stat().st_size > 20_000_000 for one in request.images} == {True}
