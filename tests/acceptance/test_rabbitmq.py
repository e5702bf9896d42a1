"""A site on a real RabbitMQ: hostile messages, and a broker that stops, dies or loses its data."""

import base64
import binascii
import json
import re
import shutil
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import amqp
import pytest
from amqp.serialization import dumps
from hostile_messages import genuine, hostile_messages
from rabbitmq import RabbitMQ
from raw_properties import RAW_PROPERTIES
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

MESSAGES = dict(hostile_messages())
ONLY_OF_AMQP: dict[str, dict[str, Any]] = {
    "every property": {
        "priority": 255,
        "reply_to": "gpu",
        "expiration": "1000000",
        "message_id": "x" * 255,
        "type": "worker.analyze",
        "user_id": "guest",
        "app_id": "celery",
        "cluster_id": "x",
    },
    "tables in tables": {"application_headers": {"task": {"a": {"b": [{"c": [1, 2]}]}}}},
    "a header of bytes": {"application_headers": {"task": b"\xff\xfe"}},
    "very many headers": {"application_headers": {str(at): at for at in range(5_000)}},
    "a long content type": {"content_type": "x" * 255},
}


class RawMessage(amqp.Message):
    """A message whose properties are these bytes."""

    def __init__(self, properties: bytes) -> None:
        super().__init__(b"[[1], {}, {}]")
        self._raw = properties

    def _serialize_properties(self) -> bytes:
        return self._raw


class RabbitSite(Site):
    """A site whose broker is RabbitMQ."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        super().__init__(folder, bundle)
        plain = self.broker.url
        self.broker: Any = RabbitMQ(folder)
        self.config.write_text(self.config.read_text().replace(plain, self.broker.url))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[RabbitSite]:
    site = RabbitSite(tmp_path_factory.mktemp("site"), bundle)
    with running(site, "archive", "broker", "node", "worker"):
        wait_for(lambda: waiting(site) == 0, seconds=60, what="the worker has made its queues")
        yield site


def a_study_is_sent(site: Site, number: int) -> str:
    datasets = datasets_of(FILM)
    for dataset in datasets:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:56]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    assert all_stored(send(datasets, site.node_port, calling="FILM"))
    return str(datasets[0].StudyInstanceUID)


def a_study_is_done(site: Site, number: int) -> None:
    site.wait_for_condition(a_study_is_sent(site, number), "delivered", seconds=300)


def as_amqp(content: bytes) -> amqp.Message:
    """Return what was made for Redis as a message of AMQP, as far as that can carry it."""
    try:
        whole = json.loads(content)
        body = base64.b64decode(whole["body"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        whole, body = {}, content
    if not isinstance(whole, dict):
        whole, body = {}, content
    properties: dict[str, Any] = {"delivery_mode": 2}
    for name, key in (("content_type", "content-type"), ("content_encoding", "content-encoding")):
        if isinstance(whole.get(key), str):
            properties[name] = whole[key]
    if isinstance(whole.get("headers"), dict):
        properties["application_headers"] = _encodable(whole["headers"])
    given = whole.get("properties")
    if isinstance(given, dict) and isinstance(given.get("correlation_id"), str):
        properties["correlation_id"] = given["correlation_id"]
    return amqp.Message(body, **properties)


def _encodable(headers: dict[str, Any]) -> dict[str, Any]:
    """Return headers of which what AMQP has no type for is written as text."""
    kept: dict[str, Any] = {}
    for name, value in headers.items():
        try:
            dumps("F", [{name: value}])
            kept[name] = value
        except (struct.error, amqp.FrameSyntaxError, ValueError, RecursionError):
            kept[name[:255]] = str(value)[:1000]
    return kept


def publish(site: RabbitSite, queue: str, message: amqp.Message) -> None:
    """Put one message into a queue, over a connection that only it can break."""
    with site.broker.connect() as connection:
        channel = connection.channel()
        channel.confirm_select()
        # RabbitMQ itself refuses properties that are larger than a frame, or cut.
        with suppress(amqp.AMQPError, OSError):
            channel.basic_publish_confirm(message, routing_key=queue)


def waiting(site: RabbitSite) -> int | None:
    """Return the number of messages that no worker has taken; None while there are no queues."""
    with site.broker.connect() as connection:
        channel = connection.channel()
        try:
            return sum(
                channel.queue_declare(queue, passive=True).message_count
                for queue in ("gpu", "deliver")
            )
        except amqp.NotFound:
            return None


def taken(site: RabbitSite, what: str) -> None:
    def empty() -> bool:
        site.worker.require_alive()
        return waiting(site) == 0

    wait_for(empty, seconds=60, what=f"the worker has taken the message: {what}")


def discarded(site: Site) -> int:
    return len(re.findall("message_discarded", site.worker.output()))


def test_each_message_is_discarded_and_the_next_study_is_done(site: RabbitSite) -> None:
    process = site.worker.process
    before = discarded(site)
    for number, (name, content) in enumerate(MESSAGES.items()):
        publish(site, ("gpu", "deliver")[number % 2], as_amqp(content))
        taken(site, name)
    for name, properties in ONLY_OF_AMQP.items():
        publish(site, "gpu", amqp.Message(b"[[1], {}, {}]", **properties))
        taken(site, name)

    a_study_is_done(site, 1)
    assert site.worker.process is process
    assert discarded(site) >= before + 60


def test_message_that_the_library_cannot_decode_is_discarded_and_the_next_is_taken(
    site: RabbitSite,
) -> None:
    process = site.worker.process
    next_one = as_amqp(json.dumps(genuine(work_id=2**31 - 1)).encode())
    for name, properties in RAW_PROPERTIES.items():
        publish(site, "gpu", RawMessage(properties))
        publish(site, "gpu", next_one)
        taken(site, name)
    with site.broker.connect() as connection:
        channel = connection.channel()
        channel.exchange_declare("of others", "fanout")
        channel.queue_bind("gpu", "of others")
        for key in (b"\xff\xfe", b"\xed\xa0\x80"):
            names = b"\x09of others" + bytes([len(key)]) + key
            announcement = bytes(2) + names + bytes(1)
            connection.frame_writer(1, channel.channel_id, (60, 40), announcement, next_one)
    taken(site, "a key that is no text")

    a_study_is_done(site, 8)
    assert site.worker.process is process
    assert "broker_lost" not in site.worker.output()


def test_id_that_the_ledger_does_not_have_runs_nothing(site: RabbitSite) -> None:
    for queue, task in (("gpu", "worker.analyze"), ("deliver", "worker.deliver")):
        publish(site, queue, as_amqp(json.dumps(genuine(task, work_id=2**31 - 1)).encode()))

    a_study_is_done(site, 2)


def test_broadcasts_do_not_stop_a_worker(site: RabbitSite) -> None:
    process = site.worker.process
    with site.broker.connect() as connection:
        channel = connection.channel()
        for exchange in ("celery.pidbox", "celeryev", "reply.celery.pidbox"):
            channel.exchange_declare(exchange, "fanout", durable=False, auto_delete=False)
            for command in ("shutdown", "pool_shrink", "cancel_consumer", "rate_limit"):
                body = {"method": command, "arguments": {"queue": "gpu"}, "destination": None}
                message = amqp.Message(json.dumps(body), content_type="application/json")
                message.properties["content_encoding"] = "utf-8"
                channel.basic_publish(message, exchange=exchange)

    a_study_is_done(site, 3)
    assert site.worker.process is process


def test_study_that_comes_while_the_broker_is_stopped_is_done(site: RabbitSite) -> None:
    site.broker.stop()
    uid = a_study_is_sent(site, 4)
    wait_for(lambda: site.summary(uid), seconds=60, what="the study stands in the ledger")
    site.broker.start()

    site.wait_for_condition(uid, "delivered", seconds=300)
    assert "broker_lost" in site.worker.output()


def test_study_under_way_is_done_after_the_broker_was_killed(site: RabbitSite) -> None:
    uid = a_study_is_sent(site, 5)
    site.broker.kill()
    site.broker.start()

    site.wait_for_condition(uid, "delivered", seconds=300)


def test_study_is_done_after_the_broker_lost_everything(site: RabbitSite) -> None:
    uid = a_study_is_sent(site, 6)
    site.broker.kill()
    shutil.rmtree(site.broker.data)
    site.broker.start()

    site.wait_for_condition(uid, "delivered", seconds=300)


def test_queue_of_another_kind_is_told_and_the_next_study_is_done_without_it(
    site: RabbitSite,
) -> None:
    # A queue of the same name that another application declared otherwise.
    site.worker.stop()
    with site.broker.connect() as connection:
        channel = connection.channel()
        channel.queue_delete("gpu")
        channel.queue_declare("gpu", durable=False, auto_delete=False)
    site.worker.start()
    before = len(site.worker.output())
    uid = a_study_is_sent(site, 7)
    wait_for(
        lambda: "another application" in site.worker.output()[before:],
        seconds=120,
        what="the worker says what is there",
    )
    with site.broker.connect() as connection:
        connection.channel().queue_delete("gpu")

    site.wait_for_condition(uid, "delivered", seconds=300)
