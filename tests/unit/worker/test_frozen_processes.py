"""A process of the pool that was stopped is ended; one that runs or waits is left alone."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from services import wait_for
from structlog.testing import capture_logs

from worker.processes.frozen_processes import FrozenProcesses, _state_of


@pytest.fixture
def process() -> Iterator[subprocess.Popen]:
    child = subprocess.Popen(["sleep", "600"])
    yield child
    child.kill()
    child.wait()


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: _state_of(process.pid) == "T", seconds=20, what="it is stopped")


def test_process_that_stays_stopped_is_ended_with_a_line_in_the_log(
    process: subprocess.Popen,
) -> None:
    watch = FrozenProcesses(lambda: [process.pid])
    stop(process)

    with capture_logs() as lines:
        watch.look()
        assert process.poll() is None
        watch.look()

    assert process.wait(20) == -signal.SIGKILL
    told = [(line["event"], line["detail"]) for line in lines]
    assert told == [("process_frozen", f"process {process.pid}")]


def test_process_that_runs_again_is_left_alone(process: subprocess.Popen) -> None:
    watch = FrozenProcesses(lambda: [process.pid])
    stop(process)
    watch.look()
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: _state_of(process.pid) != "T", seconds=20, what="it runs again")

    watch.look()
    watch.look()

    assert process.poll() is None


def test_process_that_is_gone_is_no_error() -> None:
    child = subprocess.Popen(["true"])
    child.wait()

    FrozenProcesses(lambda: [child.pid, os.getpid()]).look()
