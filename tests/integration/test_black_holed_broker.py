"""A worker whose way to the broker is cut without a word finds it again, and ends when told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from black_hole import BlackHole
from services import BIN, Redis, Service, wait_for

from dicom_node.errors import BrokerDownError
from dicom_node.studies.broker import DELIVER_QUEUE, DELIVER_TASK, Broker
from dicom_node.studies.ledger.database import Database


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path).start()
    yield server
    server.kill()


@pytest.fixture
def way(server: Redis) -> Iterator[BlackHole]:
    with BlackHole(server.port) as way:
        yield way


@pytest.fixture
def worker(way: BlackHole, tmp_path: Path) -> Iterator[Service]:
    database = Database(f"sqlite:///{tmp_path / 'spool' / 'ledger.sqlite'}")
    database.migrate()
    database.close()
    config = tmp_path / "mammoclip.toml"
    config.write_text(f'spool = "spool"\n[broker]\nurl = "redis://127.0.0.1:{way.port}/0"\n')
    command = [str(BIN / "celery"), "-A", "worker", "worker", "-Q", "deliver"]
    environment = {"MAMMOCLIP_CONFIG": str(config)}
    worker = Service("worker", command, tmp_path / "worker.log", environment).start()
    yield worker
    worker.kill()


def await_taken(server: Redis, worker: Service, *, times: int) -> None:
    """Wait until the worker took messages so often; one that is lost on the way is told again."""
    direct = Broker(f"redis://127.0.0.1:{server.port}/0")

    def taken() -> bool:
        worker.require_alive()
        # Redis hands a message to whoever asked last, also if the answer vanishes on its way.
        if direct.waiting(DELIVER_QUEUE) == 0:
            direct.notify(DELIVER_TASK, DELIVER_QUEUE, [1])
        return worker.output().count("work_unknown") >= times

    wait_for(taken, seconds=90, what="the worker takes the message")


@pytest.mark.long
def test_worker_finds_its_way_again_and_ends_while_there_is_none(
    server: Redis, way: BlackHole, worker: Service
) -> None:
    await_taken(server, worker, times=1)
    already = worker.output().count("work_unknown")
    way.swallow()
    await_taken(server, worker, times=already + 1)
    assert "broker_lost" in worker.output() or "celery_reported" in worker.output()

    way.swallow(new=True)
    assert worker.process is not None
    worker.process.terminate()

    assert worker.process.wait(40) == 0


def test_node_does_not_wait_for_a_broker_that_says_nothing(server: Redis, way: BlackHole) -> None:
    broker = Broker(f"redis://127.0.0.1:{way.port}/0")
    limit = broker._app.conf.broker_transport_options
    assert limit["socket_timeout"] == 10
    limit["socket_timeout"] = 1
    broker.notify(DELIVER_TASK, DELIVER_QUEUE, [1])
    way.swallow(new=True)

    with pytest.raises(BrokerDownError):
        broker.notify(DELIVER_TASK, DELIVER_QUEUE, [2])
    with pytest.raises(BrokerDownError):
        broker.waiting(DELIVER_QUEUE)
