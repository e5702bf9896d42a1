"""A worker that asks the broker for nothing any more ends itself, to be started again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from services import BIN, Redis, Service, wait_for

from dicom_node.studies.broker import DELIVER_QUEUE, DELIVER_TASK, Broker
from dicom_node.studies.ledger.database import Database

ROOT = Path(__file__).parents[2]
FAULT = """
import pathlib
from kombu.transport import redis

take = redis.Channel._brpop_start

def deaf_from_one_moment_on(self, timeout=None):
    if not pathlib.Path({here!r}, "deaf").exists():
        take(self, timeout)

redis.Channel._brpop_start = deaf_from_one_moment_on
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path).start()
    yield server
    server.kill()


@pytest.fixture
def worker(server: Redis, tmp_path: Path) -> Iterator[Service]:
    database = Database(f"sqlite:///{tmp_path / 'spool' / 'ledger.sqlite'}")
    database.migrate()
    database.close()
    config = tmp_path / "mammoclip.toml"
    config.write_text(
        f'spool = "spool"\n[broker]\nurl = "redis://127.0.0.1:{server.port}/0"\n'
        "[work]\nwatchdog_seconds = 2\n"
    )
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(FAULT.format(here=str(tmp_path)))
    environment = {"MAMMOCLIP_CONFIG": str(config), "PYTHONPATH": f"{planted}:{ROOT}"}
    command = [str(BIN / "celery"), "-A", "worker", "worker"]
    worker = Service("worker", command, tmp_path / "worker.log", environment).start()
    yield worker
    worker.kill()


def test_deaf_worker_ends_with_an_error_and_the_next_one_takes_what_waits(
    server: Redis, worker: Service, tmp_path: Path
) -> None:
    broker = Broker(f"redis://127.0.0.1:{server.port}/0")

    def taken() -> bool:
        worker.require_alive()
        return broker.waiting(DELIVER_QUEUE) == 0

    broker.notify(DELIVER_TASK, DELIVER_QUEUE, [1])
    wait_for(taken, seconds=60, what="the worker takes a message")

    (tmp_path / "deaf").touch()
    # The request that is under way may still be answered with one of them.
    broker.notify(DELIVER_TASK, DELIVER_QUEUE, [1, 2, 3])
    assert worker.process.wait(60) == 1
    assert "worker_deaf" in worker.output()

    (tmp_path / "deaf").unlink()
    worker.start()
    wait_for(taken, seconds=60, what="the next worker takes what waits")
