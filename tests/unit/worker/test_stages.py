"""A stage of an analysis that hangs ends its process, and the study goes on with the reason."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from unit.dicom_node.node_factory import Reception
from worker_factory import (
    StandInEngine,
    due_analysis,
    run_analysis,
    shown_mammogram,
)

from dicom_node.settings.work import WorkSettings
from dicom_node.studies.ledger.due.work import renew
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Transition
from mammoclip_core.analysis.engine import StudyRequest
from mammoclip_core.findings import StudyAnalysis
from worker import runtime as runtime_module
from worker.runtime import Runtime
from worker.stages import OF_THE_SITE, Stage, StageDeadlines

HANG = """
import ctypes, sys, time
from worker import stages
stages.SECONDS_TO_RECORD = 0.5
deadlines = stages.StageDeadlines()
with deadlines.held(lambda reason: print(reason, flush=True)):
    deadlines.enter(stages.Stage.INFERENCE, 0.2)
    {hang}
print("went on")
"""


class Ending:
    """Stands for the end of the process: what hangs goes on then, and is overtaken."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.is_over = threading.Event()

    def __call__(self, status: int) -> None:
        self.statuses.append(status)
        self.is_over.set()

    def hang(self, *_: Any, **__: Any) -> None:
        assert self.is_over.wait(60)


@pytest.fixture
def ending() -> Ending:
    return Ending()


class OneShortStage(StageDeadlines):
    """Gives one stage a fifth of a second, and time enough to all others."""

    def __init__(self, short: Stage, ending: Ending) -> None:
        super().__init__(end=ending)
        self._short = short

    def enter(self, stage: Stage, seconds: float) -> None:
        super().enter(stage, 0.2 if stage is self._short else 300)


Plant = Callable[[Runtime, Ending, pytest.MonkeyPatch], object]


def make_due(node: Runtime, analysis_id: int) -> int:
    """Let the wait of an analysis be over, and return its id."""
    with node.database.writing() as session:
        at = database_time(session)
        session.execute(update(Analysis).values(due_at=at - timedelta(seconds=1)))
    return analysis_id


def hang_in_engine(stage: Stage) -> Plant:
    def plant(node: Runtime, ending: Ending, _: pytest.MonkeyPatch) -> None:
        answer = node.engine.analyze

        def analyze(request: StudyRequest) -> StudyAnalysis:
            if request.on_stage is None:  # of test images
                return answer(request)
            request.on_stage(str(stage))
            ending.hang()
            return answer(request)

        node.engine.analyze = analyze

    return plant


def hang_in(function: str) -> Plant:
    return lambda _, ending, monkeypatch: monkeypatch.setattr(function, ending.hang)


HANGS: dict[Stage, Plant] = {
    Stage.READING: hang_in("dicom_node.facts.instance.content_sha256"),
    Stage.DECODING: hang_in_engine(Stage.DECODING),
    Stage.INFERENCE: hang_in_engine(Stage.INFERENCE),
    Stage.INTERPRETATION: hang_in_engine(Stage.INTERPRETATION),
    Stage.DRAWING: hang_in("dicom_node.objects.results.stream_results"),
    Stage.RECORDING: hang_in("worker.analyze.analysis.outcomes.finish_analysis"),
}


@pytest.mark.parametrize("stage", HANGS)
def test_stage_that_hangs_ends_the_process_with_the_reason_in_the_ledger(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    ending = Ending()
    node.stages = OneShortStage(stage, ending)
    reception.receive(shown_mammogram())
    HANGS[stage](node, ending, monkeypatch)

    analysis = run_analysis(node, due_analysis(reception))

    assert ending.statuses == [1]
    counts = stage not in OF_THE_SITE
    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, int(counts))
    assert analysis.reason == f"analysis overran its deadline of 0.2 s at stage {stage}"
    assert analysis.reason in [row.reason for row in reception.rows(Transition)]


def test_study_that_hangs_at_every_attempt_fails_in_a_sound_worker(
    runtime_with: Callable[..., Runtime], reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = runtime_with(work={"maximum_attempts": 1})
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)

    for expected in (AnalysisState.DUE, AnalysisState.FAILED):
        ending = Ending()
        node.engine, node.stages = StandInEngine(), OneShortStage(Stage.INFERENCE, ending)
        HANGS[Stage.INFERENCE](node, ending, monkeypatch)
        analysis = run_analysis(node, make_due(node, analysis_id))

        assert analysis.state is expected
        assert "at stage inference" in analysis.reason
        is_doubted = "the worker itself may be at fault" in analysis.reason
        assert is_doubted is (expected is AnalysisState.DUE)


def test_worker_that_hangs_at_its_test_images_uses_up_no_attempt(
    runtime_with: Callable[..., Runtime], reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = runtime_with(work={"maximum_attempts": 1})
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)

    for stage in (Stage.INFERENCE, Stage.TESTING):
        ending = Ending()
        node.engine, node.stages = StandInEngine(), OneShortStage(stage, ending)
        if stage is Stage.TESTING:
            monkeypatch.setattr(node.engine, "analyze", ending.hang)
        else:
            HANGS[stage](node, ending, monkeypatch)
        analysis = run_analysis(node, make_due(node, analysis_id))

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    assert analysis.reason == ("analysis overran its deadline of 0.2 s at stage testing the worker")


def test_lease_is_not_renewed_once_a_deadline_has_passed(
    runtime_with: Callable[..., Runtime],
    reception: Reception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = runtime_with(work={"heartbeat_seconds": 0.01, "lease_seconds": 40})
    reception.receive(shown_mammogram())
    renewed: list[int] = []

    def counted(*arguments: Any, **options: Any) -> bool:
        renewed.append(1)
        return renew(*arguments, **options)

    monkeypatch.setattr(runtime_module, "renew", counted)
    node.stages.has_passed = True
    with node.leased(Analysis, due_analysis(reception)) as taken:
        assert taken is not None
        hearts = [one for one in threading.enumerate() if one.name == "heartbeat"]
        for heart in hearts:
            heart.join(60)

    assert not any(heart.is_alive() for heart in hearts)
    assert renewed == []


def test_end_that_cannot_be_recorded_is_an_end_all_the_same(ending: Ending) -> None:
    deadlines = StageDeadlines(end=ending)

    def fail(_reason: str) -> None:
        raise OSError("the ledger is away")

    with deadlines.held(fail):
        deadlines.enter(Stage.DRAWING, 0.01)
        ending.hang()

    assert ending.statuses == [1]


def test_work_within_its_deadlines_ends_nothing(ending: Ending) -> None:
    deadlines = StageDeadlines(end=ending)

    for _ in range(3):
        with deadlines.held(pytest.fail):
            for stage in Stage:
                deadlines.enter(stage, 300)

    assert ending.statuses == []
    assert "stage deadline" not in [thread.name for thread in threading.enumerate()]


def test_parts_of_a_stage_count_together(ending: Ending) -> None:
    deadlines = StageDeadlines(end=ending)
    reasons: list[str] = []

    with deadlines.held(reasons.append):
        while not ending.is_over.wait(0.02):
            deadlines.enter(Stage.DECODING, 0.1)
            ending.is_over.wait(0.02)
            deadlines.enter(Stage.INFERENCE, 300)

    assert reasons == ["analysis overran its deadline of 0.1 s at stage decoding"]


@pytest.mark.parametrize(
    ("hang", "words"),
    [
        ("time.sleep(60)", "analysis overran its deadline of 0.2 s at stage inference"),
        # As C code that holds the interpreter: no thread of Python runs meanwhile.
        ("ctypes.PyDLL(None).sleep(60)", ""),
    ],
)
def test_hung_process_ends(hang: str, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANG.format(hang=hang)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    assert done.returncode == 1
    assert done.stdout.strip().endswith(words)
    assert "went on" not in done.stdout


def test_deadline_grows_with_the_images() -> None:
    work = WorkSettings(stage_seconds=100, stage_seconds_per_image=10)

    assert [work.stage_deadline(images) for images in (0, 1, 16)] == [100, 110, 260]


def test_study_of_a_process_that_hung_is_done_by_the_next(
    node: Runtime, reception: Reception, ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception.receive(shown_mammogram())
    node.stages = OneShortStage(Stage.INFERENCE, ending)
    with monkeypatch.context() as planted:
        HANGS[Stage.INFERENCE](node, ending, planted)
        analysis = run_analysis(node, due_analysis(reception))
    node.engine, node.stages = StandInEngine(), StageDeadlines(end=pytest.fail)

    analysis = run_analysis(node, make_due(node, analysis.id))

    assert (analysis.state, analysis.attempts) == (AnalysisState.DONE, 2)


def test_time_of_each_stage_is_told_in_words() -> None:
    deadlines = StageDeadlines()

    with deadlines.held(str):
        deadlines.enter(Stage.INFERENCE, 60)
        deadlines.enter(Stage.DRAWING, 60)
        words = deadlines.in_words()

    assert re.fullmatch(r"reading \d\.\d{3} s, inference \d\.\d{3} s, drawing \d\.\d{3} s", words)
