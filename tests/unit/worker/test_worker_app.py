"""The Celery application: what importing it does, and with which settings it works."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


FORKED = """
import json, os, sys, tempfile
from celery.__main__ import main
import celery.apps.worker, celery.bin.celery, celery.concurrency.prefork
import worker.queue.consumer, worker.tasks
for line in sys.stdin:
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            settings, *sys.argv[1:] = json.loads(line)
            os.environ["MAMMOCLIP_CONFIG"] = settings
            main()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        print(json.dumps([status, said.read().decode()]), flush=True)
"""


@dataclass(frozen=True)
class Started:
    """How a worker ended that was started by the command."""

    status: int
    errors: str

    @property
    def lines(self) -> list[str]:
        return self.errors.splitlines()


Start = Callable[..., Started]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start workers by ``celery -A worker worker``, of a process that has loaded it once."""
    command = [sys.executable, "-c", FORKED]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:

        def ask(settings: Path, *options: str) -> Started:
            words = [str(settings), "-A", "worker", "worker", *options]
            process.stdin.write(json.dumps(words) + "\n")
            process.stdin.flush()
            return Started(*json.loads(process.stdout.readline()))

        yield ask
        process.stdin.close()


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    file = tmp_path / "mammoclip.toml"
    file.write_text(SETTINGS)
    return file


def test_missing_settings_end_the_worker_in_one_line(start: Start) -> None:
    ended = start(Path("/absent.toml"))

    assert ended.status == 1
    assert ended.lines == [
        "Error: settings file /absent.toml not found: "
        "run 'mammoclip-node init' or set MAMMOCLIP_CONFIG"
    ]


@pytest.mark.parametrize("pool", ["threads", "processes-that-do-not-exist"])
def test_pool_of_threads_is_refused_in_words(start: Start, settings_file: Path, pool: str) -> None:
    ended = start(settings_file, "--pool", pool)

    assert ended.status != 0
    assert "Traceback" not in ended.errors
    assert "--pool" in ended.errors


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
    start: Start, settings_file: Path, options: str, named: str
) -> None:
    ended = start(settings_file, *options.split())

    assert ended.status == 1
    (line,) = [one for one in ended.lines if one.startswith("Error: ")]
    assert named in line
    assert "Traceback" not in ended.errors


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
