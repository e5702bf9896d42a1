"""The Celery application: what importing it does, and with which settings it works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker import runtime as runtime_module
from worker import tasks
from worker.runtime import Runtime, runtime

SETTINGS = 'spool = "spool"\n[broker]\nurl = "redis://127.0.0.1:1/3"\n'


def in_fresh_interpreter(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, **environment},
    )


def configured(tmp_path: Path, expression: str, **environment: str) -> str:
    """Return what an expression over the application's configuration gives."""
    file = tmp_path / "mammoclip.toml"
    file.write_text(SETTINGS)
    code = f"from worker import app; print({expression})"
    done = in_fresh_interpreter(code, MAMMOCLIP_CONFIG=str(file), **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["worker", "worker.app", "worker.tasks", "worker.analysis"])
def test_import_needs_no_settings_file(module: str) -> None:
    done = in_fresh_interpreter(f"import {module}", MAMMOCLIP_CONFIG="/absent.toml")

    assert (done.returncode, done.stderr) == (0, "")


def test_import_loads_no_model_library() -> None:
    code = "import worker.tasks, sys; print({'torch', 'timm', 'highdicom'} & set(sys.modules))"

    assert in_fresh_interpreter(code).stdout.strip() == "set()"


def test_broker_is_the_settings_one(tmp_path: Path) -> None:
    assert configured(tmp_path, "app.conf.broker_url") == "redis://127.0.0.1:1/3"


def test_missing_settings_end_the_worker_in_one_line() -> None:
    code = "from celery.__main__ import main; import sys; sys.argv[1:] = ['-A', 'worker', 'worker']"

    done = in_fresh_interpreter(f"{code}; main()", MAMMOCLIP_CONFIG="/absent.toml")

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: no settings file /absent.toml: run 'mammoclip-node init' or set MAMMOCLIP_CONFIG"
    ]


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_machine_without_a_gpu_loads_one_model_whatever_its_cores(
    tmp_path: Path, cores: int
) -> None:
    expression = (
        f"setattr(__import__('os'), 'cpu_count', lambda: {cores}) or app.conf.worker_concurrency"
    )

    assert configured(tmp_path, expression, CUDA_VISIBLE_DEVICES="") == "1"


def test_machine_of_four_gpus_loads_four_models(tmp_path: Path) -> None:
    told = configured(tmp_path, "app.conf.worker_concurrency", CUDA_VISIBLE_DEVICES="0,1,2,3")

    assert told == "4"


def test_worker_reads_json_and_acknowledges_late(tmp_path: Path) -> None:
    told = configured(
        tmp_path,
        "app.conf.accept_content, app.conf.task_acks_late, app.conf.task_reject_on_worker_lost,"
        " app.conf.worker_prefetch_multiplier, app.conf.task_ignore_result",
    )

    assert told == "['json'] True True 1 True"


def test_bare_worker_serves_both_queues(tmp_path: Path) -> None:
    told = configured(tmp_path, "sorted(app.amqp.queues.consume_from)")

    assert told == "['deliver', 'gpu']"


def test_tasks_are_known_by_their_written_names(tmp_path: Path) -> None:
    told = configured(
        tmp_path,
        "app.loader.import_default_modules() and"
        " sorted(name for name in app.tasks if not name.startswith('celery.'))",
    )

    assert told == "['worker.analyze', 'worker.deliver']"


def test_tasks_are_routed_to_their_queues(tmp_path: Path) -> None:
    told = configured(
        tmp_path,
        "[app.amqp.router.route({}, name)['queue'].name"
        " for name in ('worker.analyze', 'worker.deliver')]",
    )

    assert told == "['gpu', 'deliver']"


@pytest.fixture
def this_process(node: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runtime:
    """Make the test's runtime this process's, and let Celery find settings."""
    (tmp_path / "mammoclip.toml").write_text(SETTINGS)
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(tmp_path / "mammoclip.toml"))
    monkeypatch.setitem(runtime_module._runtimes, os.getpid(), node)
    return node


@pytest.mark.parametrize("name", ["analyze", "deliver"])
def test_task_of_an_unknown_number_does_nothing(this_process: Runtime, name: str) -> None:
    getattr(tasks, name).run(4711)

    assert this_process.engine.requests == []


def test_runtime_is_made_once_a_process(this_process: Runtime) -> None:
    assert runtime() is runtime() is this_process
