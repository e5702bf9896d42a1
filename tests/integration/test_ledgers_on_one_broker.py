"""A worker with another node's spool, and two nodes that share a broker by mistake."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import redis
from services import BIN, Redis, Service, wait_for

from dicom_node.studies.broker import ANALYZE_TASK, DELIVER_QUEUE, DELIVER_TASK, GPU_QUEUE, Broker
from dicom_node.studies.ledger.database import Database

MakeWorker = Callable[[str], Service]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path).start()
    yield server
    server.kill()


@pytest.fixture
def worker_of(server: Redis, tmp_path: Path) -> Iterator[MakeWorker]:
    """Return a function that starts a worker whose spool is the folder of a node's name."""
    with ExitStack() as stack:

        def start(name: str) -> Service:
            config = tmp_path / f"{name}.toml"
            config.write_text(
                f'spool = "{name}"\n[broker]\nurl = "redis://127.0.0.1:{server.port}/0"\n'
            )
            command = [str(BIN / "celery"), "-A", "worker", "worker", "--pool", "solo"]
            environment = {"MAMMOCLIP_CONFIG": str(config)}
            log = tmp_path / f"worker-{name}.log"
            worker = Service(f"worker of {name}", command, log, environment).start()
            stack.callback(worker.kill)
            return worker

        yield start


def node(server: Redis, tmp_path: Path, name: str) -> Broker:
    """Return what a node sends by, with a ledger of its own in a spool of its own."""
    broker = Broker(f"redis://127.0.0.1:{server.port}/0")
    with closing(Database(f"sqlite:///{tmp_path / name / 'ledger.sqlite'}")) as database:
        database.migrate()
        broker.speak_of(database.identity())
    return broker


def refused(worker: Service) -> int:
    worker.require_alive()
    return worker.output().count("message_of_another_ledger")


def test_worker_with_another_spool_gives_messages_back_and_says_what_to_do(
    server: Redis, tmp_path: Path, worker_of: MakeWorker
) -> None:
    ours = node(server, tmp_path, "ours")
    node(server, tmp_path, "theirs")
    ours.notify(ANALYZE_TASK, GPU_QUEUE, [1])
    ours.notify(DELIVER_TASK, DELIVER_QUEUE, [1, 2])

    wrong = worker_of("theirs")
    # Twice: it goes on looking whether what it is told concerns it by now.
    wait_for(lambda: refused(wrong) >= 2, seconds=60, what="the worker refuses the messages")
    wrong.process.terminate()
    assert wrong.process.wait(30) == 0

    assert (ours.waiting(GPU_QUEUE), ours.waiting(DELIVER_QUEUE)) == (1, 2)
    assert "settings of the node that sends them" in wrong.output()

    worker_of("ours")
    # Deliveries only: an analysis waits until the bundle is there, which these settings lack.
    wait_for(
        lambda: not ours.waiting(DELIVER_QUEUE),
        seconds=60,
        what="the node's own worker takes its messages",
    )


def test_two_nodes_on_one_broker_lose_nothing_and_each_does_its_own_work(
    server: Redis, tmp_path: Path, worker_of: MakeWorker
) -> None:
    first, second = (node(server, tmp_path, name) for name in ("first", "second"))
    first.notify(DELIVER_TASK, DELIVER_QUEUE, [1])
    second.notify(DELIVER_TASK, DELIVER_QUEUE, [1, 2])

    worker = worker_of("second")

    wait_for(
        lambda: second.waiting(DELIVER_QUEUE) == 1 and refused(worker) >= 1,
        seconds=60,
        what="the second node's messages are taken, and the first one's is kept",
    )
    # While it runs it takes the message again and again, and the queue is empty meanwhile.
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    with redis.Redis(port=server.port) as client:
        (kept,) = client.lrange(DELIVER_QUEUE, 0, -1)
    assert first._ledger in kept.decode()


def test_check_names_the_messages_of_another_node(server: Redis, tmp_path: Path) -> None:
    first, second = (node(server, tmp_path, name) for name in ("first", "second"))
    first.notify(DELIVER_TASK, DELIVER_QUEUE, [1])

    first.check()
    with pytest.raises(Exception, match="messages of a node with another ledger"):
        second.check()
