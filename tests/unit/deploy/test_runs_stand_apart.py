"""Runs of the demonstration neither disturb each other nor leave anything behind."""

import os
import sys

import pytest

from deploy.demo.children import Children
from deploy.demo.errors import DemonstrationError
from deploy.demo.workplace import workplace


def test_folder_of_a_finished_run_is_cleared_by_the_next(tmp_path):
    with workplace(tmp_path) as first:
        pass

    with workplace(tmp_path):
        assert not first.exists()


def test_folder_of_a_running_run_is_left_alone(tmp_path):
    with workplace(tmp_path) as first, workplace(tmp_path) as second:
        assert first.exists()
        assert first != second


def test_logs_of_a_failed_run_are_kept(tmp_path):
    with pytest.raises(ValueError, match="broken"), workplace(tmp_path) as failed:
        raise ValueError("broken")

    with workplace(tmp_path):
        assert failed.exists()


def test_only_the_last_failures_are_kept(tmp_path):
    for _ in range(5):
        with pytest.raises(ValueError, match="broken"), workplace(tmp_path):
            raise ValueError("broken")

    with workplace(tmp_path):
        assert len(list(tmp_path.glob("*/FAILED"))) == 3


def test_dead_process_ends_the_run_with_the_end_of_its_log(tmp_path):
    with Children(tmp_path) as children:
        children.start("node", [sys.executable, "-c", "raise SystemExit('no port')"], os.environ)

        with pytest.raises(DemonstrationError, match=r"(?s)node ended with exit status 1.*no port"):
            children.wait_until(lambda: False, what="never", deadline_seconds=20)


def test_no_process_outlives_the_block(tmp_path):
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    log = tmp_path / "child.log"
    with Children(tmp_path) as children:
        children.start("child", [sys.executable, "-c", script], os.environ)
        children.wait_until(
            lambda: log.read_text().strip() != "", what="it runs", deadline_seconds=20
        )
        pid = int(log.read_text())

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
