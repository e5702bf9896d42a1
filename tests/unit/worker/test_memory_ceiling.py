"""A process that used too much memory is replaced after the study in hand."""

from typing import Any

import pytest
from celery.worker import state

from worker.processes import memory_ceiling
from worker.processes.memory_ceiling import end_if_grown, peak_memory_bytes


@pytest.fixture(autouse=True)
def worker_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "should_stop", None)


def test_worker_of_one_process_ends_past_its_ceiling(log_lines: list[Any]) -> None:
    end_if_grown(peak_memory_bytes() - 1)

    assert state.should_stop == 1
    assert [line["event"] for line in log_lines] == ["worker_memory_grown"]


def test_worker_below_its_ceiling_goes_on(log_lines: list[Any]) -> None:
    end_if_grown(peak_memory_bytes() + 2**30)

    assert state.should_stop is None
    assert log_lines == []


def test_process_of_a_pool_is_left_to_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    class PoolProcess:
        name = "ForkPoolWorker-1"

    monkeypatch.setattr(memory_ceiling, "current_process", PoolProcess)

    end_if_grown(1)

    assert state.should_stop is None
