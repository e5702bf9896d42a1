"""The transport reads what is no message, from a real broker, without an error."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from black_hole import BlackHole
from hostile_messages import genuine
from kombu import Connection, Exchange, Queue
from redis import Redis
from services import Broker
from structlog.testing import capture_logs

from worker.queue import redis_transport
from worker.queue.discarded import Discarded
from worker.queue.messages import UnwantedMessageError, work_of


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    service = Broker(tmp_path_factory.mktemp("broker"))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def queues(broker: Broker) -> Iterator[Redis]:
    with Redis(port=broker.port) as client:
        client.flushall()
        yield client


@pytest.fixture
def restore(broker: Broker, queues: Redis) -> Callable[[], None]:
    def go() -> None:
        options = {"visibility_timeout": 1}
        with Connection(
            broker.url, transport=redis_transport.PATH, transport_options=options
        ) as connection:
            connection.default_channel.qos.restore_visible(num=10, interval=1)

    return go


@pytest.mark.parametrize("end", ["ack", "reject", "requeue"])
def test_message_whose_end_the_broker_cannot_be_told_takes_no_place(
    broker: Broker, queues: Redis, end: str
) -> None:
    queues.lpush("gpu", json.dumps(genuine()))
    options = {"socket_timeout": 0.3}
    received: list[Any] = []
    with (
        BlackHole(broker.port) as way,
        Connection(
            f"redis://127.0.0.1:{way.port}/0",
            transport=redis_transport.PATH,
            transport_options=options,
        ) as connection,
    ):
        channel = connection.default_channel
        channel.basic_qos(0, 1, False)
        queue = Queue("gpu", Exchange("gpu", type="direct"), routing_key="gpu")
        with connection.Consumer([queue], accept=["json"], on_message=received.append):
            connection.drain_events(timeout=10)
            assert not channel.qos.can_consume()

            way.swallow(new=True)
            with pytest.raises(connection.connection_errors):
                received[0].ack() if end == "ack" else received[0].reject(requeue=end == "requeue")

            assert channel.qos.can_consume()
            channel.qos.restore_at_shutdown = False


@pytest.mark.parametrize(
    "content",
    [
        "garbage",
        "null",
        "[1]",
        '["x", "gpu", "gpu"]',
        '[{}, ["gpu"], {}]',
        "[[],[],[]]",
        "[" * 9000,
    ],
)
def test_unfinished_message_that_cannot_be_read_is_removed(
    queues: Redis, restore: Callable[[], None], content: str
) -> None:
    queues.hset("unacked", "tag", content)
    queues.zadd("unacked_index", {"tag": 1})

    restore()

    assert not queues.hlen("unacked")
    assert not queues.zcard("unacked_index")


def test_unfinished_message_that_cannot_be_read_holds_no_other_up(
    queues: Redis, restore: Callable[[], None]
) -> None:
    queues.hset("unacked", "bad", "garbage")
    queues.hset("unacked", "good", '[{"headers": {}, "properties": {}}, "gpu", "gpu"]')
    queues.zadd("unacked_index", {"bad": 1, "good": 2})
    queues.sadd("_kombu.binding.gpu", "gpu\x06\x16\x06\x16gpu")

    restore()

    assert queues.llen("gpu") == 1


def test_flood_is_counted_instead_of_filling_the_log() -> None:
    discarded = Discarded()

    with capture_logs() as lines:
        for _ in range(10_000):
            discarded.note("gpu", "it is not JSON")

    assert len(lines) == 100


@pytest.mark.parametrize("work_id", [1, 2**31 - 1])
def test_id_of_a_row_is_all_that_a_message_brings(work_id: int) -> None:
    work = work_of(
        {"task": "worker.analyze", "argsrepr": "Doe^Jane", "origin": "gen1@host"},
        f"[[{work_id}], {{}}, {{}}]",
        content_type="application/json",
        content_encoding="utf-8",
    )

    assert (work.task, work.work_id) == ("worker.analyze", work_id)
    assert "Doe^Jane" not in repr((work.headers(), work.body()))


@pytest.mark.parametrize("body", ["[[true], {}, {}]", "[[0], {}, {}]", "[[2147483648], {}, {}]"])
def test_other_numbers_are_none(body: str) -> None:
    with pytest.raises(UnwantedMessageError):
        work_of(
            {"task": "worker.analyze"},
            body,
            content_type="application/json",
            content_encoding="utf-8",
        )


def test_what_is_discarded_counts_as_taken(broker: Broker, queues: Redis) -> None:
    # Else a worker that works through very many such messages would be taken for a deaf one.
    before = redis_transport.messages_discarded()
    queues.lpush("gpu", "garbage", json.dumps([1]), "x" * 20_000)
    queue = Queue("gpu", Exchange("gpu", type="direct"), routing_key="gpu")
    with (
        Connection(broker.url, transport=redis_transport.PATH) as connection,
        connection.Consumer([queue], accept=["json"], on_message=lambda _: None),
    ):
        while queues.llen("gpu"):
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.2)

    assert redis_transport.messages_discarded() == before + 3
