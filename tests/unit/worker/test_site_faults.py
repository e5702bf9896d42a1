"""A fault of the site is told once, uses up no attempt, and ends by itself."""

import itertools
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Reject
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from unit.dicom_node.node_factory import Reception
from worker_factory import break_at_studies, due_analysis, run_analysis, shown_mammogram

from dicom_node.errors import OutOfResourcesError, SettingsError
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis
from mammoclip_core.errors import (
    BundleError,
    ComputingError,
    DeviceError,
    LicenceError,
    MissingLibraryError,
)
from mammoclip_core.images.decoding import decoding_pool
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime
from worker.site_faults import BENEFIT_OF_THE_DOUBT, SiteFaults

SITE_ERRORS = [
    BundleError("no bundle here"),
    LicenceError("terms not accepted"),
    MissingLibraryError("install openvino"),
    SettingsError("accept is missing"),
    OutOfResourcesError("the disk is full"),
    OperationalError("SELECT", {}, Exception("database is locked")),
    MemoryError(),
    DeviceError("cuda:0 stopped answering"),
    ComputingError("no finite number"),
    PermissionError(13, "Permission denied"),
]

KILLED = """
import os, signal, socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
connection.send(b"ready")
connection.recv(1)
os.kill(os.getpid(), signal.SIGKILL)
"""
"""A process that decodes, killed as the kernel does where memory is short."""


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Site:
    """A site of which a test says what is wrong."""

    def __init__(self) -> None:
        self.clock, self.error, self.looks = Clock(), None, 0
        self.faults = SiteFaults(look=self.look, clock=self.clock, sleep=self.clock.sleep)

    def look(self) -> None:
        self.looks += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def site() -> Site:
    return Site()


def raising(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def run_again(node: Runtime, analysis_id: int) -> Analysis:
    with node.database.writing() as session:
        session.execute(update(Analysis).values(due_at=datetime.now(UTC)))
    return run_analysis(node, analysis_id)


@pytest.mark.parametrize("error", SITE_ERRORS, ids=lambda error: type(error).__name__)
def test_fault_of_the_site_uses_up_no_attempt(
    runtime_with: Callable[..., Runtime], reception: Reception, error: Exception
) -> None:
    node = runtime_with(work={"maximum_attempts": 2})
    reception.receive(shown_mammogram())
    node.engine.meanwhile = raising(error)
    analysis_id = due_analysis(reception)

    for _ in range(4):
        analysis = run_again(node, analysis_id)

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    node.engine.meanwhile = lambda: None
    assert run_again(node, analysis_id).state is AnalysisState.DONE


@pytest.mark.parametrize("name", ["heartbeat", "stage deadline"])
def test_shortage_of_threads_uses_up_no_attempt(
    reception: Reception,
    own_tasks: Any,
    monkeypatch: pytest.MonkeyPatch,
    log_lines: list[Any],
    name: str,
) -> None:
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    node, start = own_tasks.runtime(), threading.Thread.start

    def short(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as shortage:
        shortage.setattr(threading.Thread, "start", short)
        for _ in range(3):
            node.site.clock = partial(next, itertools.count(step=1000))
            with suppress(Reject):
                own_tasks.analyze(analysis_id)

    (row,) = reception.rows(Analysis)
    assert (row.state, row.attempts) == (AnalysisState.DUE, 0)
    faults = [line["reason"] for line in log_lines if line["event"] == "site_fault"]
    assert set(faults) == {
        "the system starts no further thread: raise its limit of processes and threads"
    }
    assert run_again(node, analysis_id).state is AnalysisState.DONE


def test_decoders_that_the_system_kills_fail_no_image(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = partial(DecodingPool, program=[sys.executable, "-c", KILLED])
    monkeypatch.setattr(decoding_pool, "DecodingPool", killed)
    del node.decoding
    place = reception.receive(shown_mammogram()).place
    node.engine.meanwhile = lambda: node.decoding.read_image(node.spool.file(place))

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    assert "killed from outside" in analysis.reason


@pytest.mark.parametrize("error", [MemoryError(), DeviceError("gone"), ComputingError("inf")])
def test_study_that_breaks_the_machine_each_time_fails_in_the_end(
    runtime_with: Callable[..., Runtime], reception: Reception, error: Exception
) -> None:
    node = runtime_with(work={"maximum_attempts": 2})
    reception.receive(shown_mammogram())
    node.engine.meanwhile = raising(error)
    analysis_id = due_analysis(reception)

    states = [run_again(node, analysis_id).state for _ in range(BENEFIT_OF_THE_DOUBT + 5)]
    assert states == [AnalysisState.DUE] * len(states)  # its test images break it, too

    node.engine.meanwhile = lambda: None
    break_at_studies(node.engine, error)
    assert run_again(node, analysis_id).state is AnalysisState.FAILED


def test_unknown_error_is_the_sites_while_the_site_has_a_fault(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception.receive(shown_mammogram())
    node.engine.meanwhile = raising(KeyError("x"))
    monkeypatch.setattr(node.spool, "require_usable", raising(OutOfResourcesError("read-only")))

    analysis = run_analysis(node, due_analysis(reception))

    assert (analysis.attempts, analysis.reason) == (0, "read-only")


def test_study_waits_as_received_while_the_folder_of_images_is_away(
    node: Runtime, reception: Reception, tmp_path: Path
) -> None:
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    studies = node.spool.root / "studies"
    studies.rename(tmp_path / "away")

    analysis = run_analysis(node, analysis_id)

    assert (analysis.state, analysis.attempts) == (AnalysisState.DUE, 0)
    (tmp_path / "away").rename(studies)
    assert run_again(node, analysis_id).state is AnalysisState.DONE


@pytest.mark.parametrize("folder", ["partial", "results"])
def test_folder_that_cannot_be_written_is_a_fault_of_the_site(
    node: Runtime, tmp_path: Path, folder: str
) -> None:
    # In the place of a closed folder, which root may write to nevertheless.
    (node.spool.root / folder).rmdir()
    (node.spool.root / folder).symlink_to("/proc/self")

    assert node.site.lasts()

    (node.spool.root / folder).unlink()
    (node.spool.root / folder).mkdir()
    node.site.clock = lambda: 1e9
    assert not node.site.lasts()
    assert list((node.spool.root / folder).iterdir()) == []


def test_fault_has_one_line_and_its_end_another(site: Site, log_lines: list[Any]) -> None:
    site.error = BundleError("no bundle here")
    while site.clock.now < 600:
        assert site.faults.lasts()
    site.error = None
    while site.faults.lasts():
        pass

    assert [(line["log_level"], line["event"]) for line in log_lines] == [
        ("error", "site_fault"),
        ("warning", "site_fault_ended"),
    ]
    assert log_lines[0]["reason"] == "no bundle here"


def test_site_is_looked_at_less_and_less_often_and_within_a_minute(site: Site) -> None:
    site.error = BundleError("no bundle here")
    while site.clock.now < 600:
        site.faults.lasts()

    assert 10 <= site.looks <= 16
    assert max(site.clock.slept) <= 5  # between them a worker that is told to end does so


def test_ledger_error_is_told_without_its_values(site: Site) -> None:
    site.error = OperationalError("SELECT", {"name": "Doe^Jane"}, Exception("Doe^Jane"))

    assert site.faults.behind(site.error, 1) == "the ledger does not answer: OperationalError"


def test_message_goes_back_and_no_study_is_claimed_during_a_fault(
    node: Runtime, reception: Reception, own_tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    monkeypatch.setattr(node.spool, "require_usable", raising(OutOfResourcesError("read-only")))
    node.site.note("read-only")

    with pytest.raises(Reject) as put_back:
        own_tasks.analyze(analysis_id)

    assert put_back.value.requeue
    (row,) = reception.rows(Analysis)
    assert (row.state, row.version) == (AnalysisState.DUE, 0)


@pytest.mark.parametrize("task", ["analyze", "deliver"])
def test_message_goes_back_while_the_ledger_does_not_answer(
    node: Runtime, own_tasks: Any, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    locked = OperationalError("BEGIN", {}, Exception("database is locked"))
    monkeypatch.setattr(node.database, "writing", raising(locked))
    monkeypatch.setattr(node.database, "reading", raising(locked))

    with pytest.raises(Reject) as put_back:
        getattr(own_tasks, task)(1)

    assert put_back.value.requeue


def test_process_that_only_delivers_says_that_the_ledger_answers_again(
    node: Runtime, reception: Reception, monkeypatch: pytest.MonkeyPatch, log_lines: list[Any]
) -> None:
    writing = node.database.writing
    locked = OperationalError("BEGIN", {}, Exception("database is locked"))
    monkeypatch.setattr(node.database, "writing", raising(locked))
    attempt_delivery(node, 1)
    attempt_delivery(node, 1)
    monkeypatch.setattr(node.database, "writing", writing)

    attempt_delivery(node, 1)
    attempt_delivery(node, 1)

    assert [line["event"] for line in log_lines] == ["site_fault", "site_fault_ended"]


def test_ledger_that_answers_ends_no_other_fault(node: Runtime, log_lines: list[Any]) -> None:
    node.site.note("the disk is full")

    attempt_delivery(node, 1)

    assert [line["event"] for line in log_lines] == ["site_fault"]


def test_process_whose_device_died_makes_room_for_another(
    node: Runtime, reception: Reception, own_tasks: Any
) -> None:
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    node.engine.meanwhile = raising(DeviceError("cuda:0 stopped answering"))

    with pytest.raises(SystemExit):
        own_tasks.analyze(analysis_id)

    (row,) = reception.rows(Analysis)
    assert (row.state, row.attempts) == (AnalysisState.DUE, 0)
