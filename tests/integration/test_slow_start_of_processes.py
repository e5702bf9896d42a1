"""A worker whose processes start slowly, as on a machine that is busy at its start."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from services import Broker, Service, wait_for

SLOW_WORKER = """
import os, time
from celery.signals import worker_process_init
from worker import app

@worker_process_init.connect
def be_slow_when_another_ended(**_):
    is_first = not os.path.exists("started")
    with open("started", "a") as file:
        file.write(f"{os.getpid()}\\n")
    if not is_first:
        time.sleep(10)
    open("first-is-up" if is_first else "next-is-up", "w").close()

app.worker_main(["worker", "--concurrency", "1"])
"""


def takes_messages(broker: Redis) -> bool:
    return any(one["cmd"] == "brpop" for one in broker.client_list())


@pytest.fixture
def slow_worker(tmp_path: Path) -> Iterator[Service]:
    broker = Broker(tmp_path)
    broker.start()
    settings = tmp_path / "mammoclip.toml"
    settings.write_text(f'spool = "spool"\n[broker]\nurl = "{broker.url}"\n')
    command = ["env", "-C", str(tmp_path), f"MAMMOCLIP_CONFIG={settings}"]
    command += [f"PYTHONPATH={Path.cwd()}", sys.executable, "-c", SLOW_WORKER]
    worker = Service("worker", command, tmp_path / "worker.log").start()
    with Redis.from_url(broker.url) as client:
        wait_for(lambda: takes_messages(client), seconds=60, what="the worker takes messages")
    yield worker
    worker.kill()
    broker.kill()


@pytest.mark.long
@pytest.mark.usefixtures("slow_worker")
def test_process_that_starts_slowly_is_not_replaced_again(tmp_path: Path) -> None:
    started = tmp_path / "started"
    wait_for((tmp_path / "first-is-up").is_file, seconds=60, what="a process of the pool is up")

    os.kill(int(started.read_text()), signal.SIGKILL)

    wait_for((tmp_path / "next-is-up").is_file, seconds=60, what="the next process is up")
    assert len(started.read_text().split()) == 2
