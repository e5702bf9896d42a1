"""Each kind of message that no node sends is discarded with a reason, through a real broker."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hostile_messages import ODD_BUT_OURS, genuine, hostile_messages
from kombu import Connection, Exchange, Queue
from redis import Redis
from services import Broker

from worker.queue import redis_transport
from worker.queue.messages import UnwantedMessageError, WorkMessage, work_of

MESSAGES = dict(hostile_messages())


class Reader:
    """Reads a queue as the worker does, up to what it would run, and keeps the reasons."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.work: list[WorkMessage] = []
        self.reasons: list[str] = []

    def read(self) -> None:
        """Wait until a message was taken, and see whether it was taken once."""
        self.work, self.reasons = [], []
        give_up_at = time.monotonic() + 20
        while not self.work and not self.reasons:
            assert time.monotonic() < give_up_at
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=1)

    def note(self, _queue: str, reason: str) -> None:
        """Take what the transport would log."""
        self.reasons.append(reason)

    def take(self, message: Any) -> None:
        """Take a message that can be read."""
        message.ack()
        try:
            self.work.append(
                work_of(
                    message.headers,
                    message.body,
                    content_type=message.content_type,
                    content_encoding=message.content_encoding,
                )
            )
        except UnwantedMessageError as error:
            self.reasons.append(str(error))

    def refuse(self, message: Any, _error: Exception) -> None:
        """Take a message that the library cannot decode."""
        message.ack()
        self.reasons.append("it cannot be decoded")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    service = Broker(tmp_path_factory.mktemp("broker"))
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def reader(broker: Broker) -> Iterator[Reader]:
    queue = Queue("gpu", Exchange("gpu", type="direct"), routing_key="gpu")
    with Connection(broker.url, transport=redis_transport.PATH) as connection:
        reader = Reader(connection)
        with connection.Consumer(
            [queue], accept=["json"], on_message=reader.take, on_decode_error=reader.refuse
        ):
            yield reader


@pytest.fixture
def queues(broker: Broker) -> Iterator[Redis]:
    with Redis(port=broker.port) as client:
        yield client


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch, reader: Reader) -> None:
    monkeypatch.setattr(redis_transport, "_discarded", reader)


def test_there_are_seventy_kinds_and_more() -> None:
    assert len(MESSAGES) == len(list(hostile_messages())) >= 70


@pytest.mark.parametrize("name", MESSAGES)
def test_message_is_discarded_once_with_its_reason(
    reader: Reader, queues: Redis, name: str
) -> None:
    queues.lpush("gpu", MESSAGES[name])

    reader.read()

    assert len(reader.reasons) == 1
    assert reader.reasons[0]
    assert not reader.work
    assert not queues.exists("gpu", "unacked", "unacked_index")


@pytest.mark.parametrize("name", ODD_BUT_OURS)
def test_properties_of_a_message_are_made_anew(reader: Reader, queues: Redis, name: str) -> None:
    message = genuine(work_id=7)
    message["properties"] = {**message["properties"], **ODD_BUT_OURS[name]}
    queues.lpush("gpu", json.dumps(message))

    reader.read()

    assert reader.work == [WorkMessage("worker.analyze", 7)]
    assert not queues.exists("gpu", "unacked", "unacked_index")
