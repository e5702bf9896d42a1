"""A worker that is asked to end finishes what it has begun."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for


@pytest.fixture
def site(tmp_path: Path, bundle: Path) -> Iterator[Site]:
    site = Site(tmp_path, bundle)
    with running(site, "broker", "node", "worker"):
        yield site


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def test_analysis_is_finished_when_every_process_of_the_service_gets_the_signals(
    site: Site,
) -> None:
    assert all_stored(send(datasets_of(FILM), site.node_port, calling="FILM"))
    wait_for(lambda: "analysis_started" in site.worker.output(), seconds=60, what="it is begun")
    worker = site.worker.process
    assert worker is not None
    (pool,) = children(worker.pid)
    # Held still, so that the signal comes before the analysis ends, however fast it is.
    os.kill(pool, signal.SIGSTOP)
    assert "analysis_done" not in site.worker.output()

    # By this one Celery tells a process that a task has taken too long.
    os.killpg(worker.pid, signal.SIGUSR1)
    os.killpg(worker.pid, signal.SIGTERM)
    wait_for(lambda: "Warm shutdown" in site.worker.output(), seconds=30, what="the worker ends")
    os.kill(pool, signal.SIGCONT)

    assert worker.wait(60) == 0
    assert "analysis_done" in site.worker.output()


def test_pool_does_not_outlive_a_worker_that_ends_at_once(site: Site) -> None:
    worker = site.worker.process
    assert worker is not None
    (pool,) = wait_for(lambda: children(worker.pid), seconds=60, what="the pool has started")
    os.kill(pool, signal.SIGSTOP)

    worker.send_signal(signal.SIGQUIT)

    os.kill(pool, signal.SIGCONT)
    worker.wait(60)
    wait_for(lambda: not Path(f"/proc/{pool}").exists(), seconds=30, what="the pool has ended")


def test_analysis_that_is_broken_off_by_sigquit_costs_no_attempt(site: Site) -> None:
    assert all_stored(send(datasets_of(FILM), site.node_port, calling="FILM"))
    wait_for(lambda: "analysis_started" in site.worker.output(), seconds=60, what="it is begun")
    worker = site.worker.process
    assert worker is not None

    worker.send_signal(signal.SIGQUIT)
    worker.wait(60)

    # Whatever came first: nothing is left to a lease that runs out.
    output = site.worker.output()
    assert "told to end at once" in output or "analysis_done" in output
