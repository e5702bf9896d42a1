"""The Celery application: what importing it does, and with which settings it works."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


DESCRIBE = """
import json, os, sys
os.cpu_count = lambda: 64
from worker import app
app.loader.import_default_modules()
conf = app.conf
print(json.dumps({
    "broker_url": conf.broker_url,
    "concurrency": conf.worker_concurrency,
    "accept_content": conf.accept_content,
    "acks_late": conf.task_acks_late,
    "reject_on_worker_lost": conf.task_reject_on_worker_lost,
    "prefetch": conf.worker_prefetch_multiplier,
    "longest_start": conf.worker_proc_alive_timeout,
    "memory": conf.worker_max_memory_per_child,
    "ignore_result": conf.task_ignore_result,
    "queues": sorted(app.amqp.queues.consume_from),
    "tasks": sorted(name for name in app.tasks if not name.startswith("celery.")),
    "routes": {
        name: app.amqp.router.route({}, name)["queue"].name
        for name in ("worker.analyze", "worker.deliver")
    },
    "modules": sorted(name for name in sys.modules if "." not in name),
}))
"""


def described(folder: Path, **environment: str) -> dict[str, Any]:
    """Return what a worker of 64 cores would work with, told by a fresh interpreter."""
    file = folder / "mammoclip.toml"
    file.write_text(SETTINGS)
    done = in_fresh_interpreter(DESCRIBE, MAMMOCLIP_CONFIG=str(file), **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def without_gpu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return described(tmp_path_factory.mktemp("site"), CUDA_VISIBLE_DEVICES="")


def test_import_needs_no_settings_file() -> None:
    done = in_fresh_interpreter("import worker.tasks", MAMMOCLIP_CONFIG="/absent.toml")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_worker_loads_no_model_library_before_its_first_task(without_gpu: dict[str, Any]) -> None:
    assert not {"torch", "timm", "transformers", "highdicom"} & set(without_gpu["modules"])


def test_broker_is_the_settings_one(without_gpu: dict[str, Any]) -> None:
    assert without_gpu["broker_url"] == "redis://127.0.0.1:1/3"


def test_missing_settings_end_the_worker_in_one_line() -> None:
    code = "from celery.__main__ import main; import sys; sys.argv[1:] = ['-A', 'worker', 'worker']"

    done = in_fresh_interpreter(f"{code}; main()", MAMMOCLIP_CONFIG="/absent.toml")

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: settings file /absent.toml not found: "
        "run 'mammoclip-node init' or set MAMMOCLIP_CONFIG"
    ]


@pytest.mark.parametrize("pool", ["threads", "processes-that-do-not-exist"])
def test_pool_of_threads_is_refused_in_words(tmp_path: Path, pool: str) -> None:
    (tmp_path / "mammoclip.toml").write_text(SETTINGS)
    code = (
        "from celery.__main__ import main; import sys; "
        f"sys.argv[1:] = ['-A', 'worker', 'worker', '--pool', '{pool}']; main()"
    )

    done = in_fresh_interpreter(code, MAMMOCLIP_CONFIG=str(tmp_path / "mammoclip.toml"))

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "--pool" in done.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--time-limit 60", "--time-limit"),
        ("--soft-time-limit 60", "--soft-time-limit"),
        ("--autoscale 4,1", "--autoscale"),
        ("--concurrency auto", "--concurrency"),
        ("--prefetch-multiplier 8", "--prefetch-multiplier"),
        ("--beat", "--beat"),
        ("-Q gpu,delivery", "'delivery'"),
        ("-Q gpu -X gpu", "--exclude-queues"),
        ("--pool-start-method spawn", "--pool-start-method"),
        ("--purge", "--purge"),
        ("--detach", "--detach"),
        ("--logfile worker.log", "--logfile"),
        ("-- worker_enable_remote_control=1", "worker_enable_remote_control"),
    ],
)
def test_option_by_which_work_would_suffer_is_refused_in_one_line(
    tmp_path: Path, options: str, named: str
) -> None:
    (tmp_path / "mammoclip.toml").write_text(SETTINGS)

    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker", "worker", *options.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "MAMMOCLIP_CONFIG": str(tmp_path / "mammoclip.toml")},
    )

    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("Error: ")]
    assert named in line
    assert "Traceback" not in done.stderr


def test_machine_without_a_gpu_loads_one_model_whatever_its_cores(
    without_gpu: dict[str, Any],
) -> None:
    assert without_gpu["concurrency"] == 1


def test_machine_of_four_gpus_loads_two_models_for_each(tmp_path: Path) -> None:
    assert described(tmp_path, CUDA_VISIBLE_DEVICES="0,1,2,3")["concurrency"] == 8


def test_worker_reads_json_only(without_gpu: dict[str, Any]) -> None:
    assert without_gpu["accept_content"] == ["json"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("acks_late", True),
        ("reject_on_worker_lost", True),
        ("prefetch", 1),
        ("longest_start", 120.0),
        ("memory", 8_000_000_000 // 1024),
        ("ignore_result", True),
    ],
)
def test_message_is_acknowledged_when_its_work_is_recorded(
    without_gpu: dict[str, Any], key: str, value: object
) -> None:
    assert without_gpu[key] == value


def test_bare_worker_serves_both_queues(without_gpu: dict[str, Any]) -> None:
    assert without_gpu["queues"] == ["deliver", "gpu"]


def test_tasks_are_known_by_their_written_names(without_gpu: dict[str, Any]) -> None:
    assert without_gpu["tasks"] == ["worker.analyze", "worker.deliver"]


def test_tasks_are_routed_to_their_queues(without_gpu: dict[str, Any]) -> None:
    assert without_gpu["routes"] == {"worker.analyze": "gpu", "worker.deliver": "deliver"}


@pytest.fixture
def this_process(node: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runtime:
    """Make the test's runtime this process's, and let Celery find settings."""
    (tmp_path / "mammoclip.toml").write_text(SETTINGS)
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(tmp_path / "mammoclip.toml"))
    monkeypatch.setitem(runtime_module._runtimes, os.getpid(), node)
    return node


@pytest.mark.parametrize("name", ["analyze", "deliver"])
def test_task_of_an_unknown_number_does_nothing_and_says_so(
    this_process: Runtime, name: str, log_lines: list[Any]
) -> None:
    getattr(tasks, name).run(4711)

    assert this_process.engine.requests == []
    assert [line["event"] for line in log_lines] == ["work_unknown"]


def test_runtime_is_made_once_a_process(this_process: Runtime) -> None:
    assert runtime() is runtime() is this_process


@pytest.mark.parametrize(("stated", "expected"), [(None, "False"), ("1", "True")])
def test_numpy_asks_for_no_large_pages_unless_the_environment_says_so(
    stated: str | None, expected: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NUMPY_MADVISE_HUGEPAGE"}
    if stated is not None:
        environment["NUMPY_MADVISE_HUGEPAGE"] = stated
    words = "import worker, numpy; print(numpy._core.multiarray._set_madvise_hugepage(False))"

    done = subprocess.run(
        [sys.executable, "-c", words], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == expected


@pytest.mark.parametrize(("stated", "threads"), [(None, "1"), ("2", "2")])
def test_numpy_multiplies_in_one_thread_unless_the_environment_says_otherwise(
    stated: str | None, threads: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if "_NUM_THREADS" not in k}
    if stated is not None:
        environment["OPENBLAS_NUM_THREADS"] = stated
    words = "import worker, numpy, os; print(len(os.listdir('/proc/self/task')))"

    done = subprocess.run(
        [sys.executable, "-c", words], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == threads
