"""What an intruder puts into the broker's queues is discarded, and the next study is done."""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_messages import genuine, hostile_messages
from redis import Redis
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for

MESSAGES = dict(hostile_messages())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), bundle)
    with running(site, "archive", "broker", "node", "worker"):
        yield site


@pytest.fixture
def queues(site: Site) -> Iterator[Redis]:
    with Redis(port=site.broker.port) as client:
        wait_for(
            lambda: "broker_connected" in site.worker.output(),
            seconds=60,
            what="the worker takes messages",
        )
        yield client


def a_study_is_done(site: Site, number: int) -> None:
    datasets = datasets_of(FILM)
    for dataset in datasets:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:56]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    assert all_stored(send(datasets, site.node_port, calling="FILM"))
    site.wait_for_condition(datasets[0].StudyInstanceUID, "delivered")


def taken(site: Site, queues: Redis, what: str) -> None:
    def empty() -> bool:
        site.worker.require_alive()
        return not queues.llen("gpu") and not queues.llen("deliver")

    wait_for(empty, seconds=30, what=f"the worker has taken the message: {what}")


def discarded(site: Site) -> int:
    return len(re.findall("message_discarded", site.worker.output()))


def test_each_message_is_named_in_the_log_and_the_next_study_is_done(
    site: Site, queues: Redis
) -> None:
    process = site.worker.process
    names = list(MESSAGES)
    # In tens, and not all to one queue: each alone, with a study after it, in the long form.
    for first in range(0, len(names), 10):
        some = names[first : first + 10]
        before = discarded(site)
        for number, name in enumerate(some):
            queues.lpush(("gpu", "deliver")[number % 2], MESSAGES[name])
        taken(site, queues, ", ".join(some))
        # Those of one minute: beyond 100 they are counted in one line.
        if first + 10 <= 80:
            wait_for(
                lambda before=before: discarded(site) >= before + 10,
                seconds=20,
                what=", ".join(some),
            )

    a_study_is_done(site, 1)
    assert site.worker.process is process
    assert not queues.hlen("unacked")


@pytest.mark.long
@pytest.mark.parametrize("name", MESSAGES)
def test_next_study_is_done_after(site: Site, queues: Redis, name: str) -> None:
    queues.lpush("gpu", MESSAGES[name])
    queues.lpush("deliver", MESSAGES[name])

    a_study_is_done(site, 100 + list(MESSAGES).index(name))


def test_id_that_the_ledger_does_not_have_runs_nothing(site: Site, queues: Redis) -> None:
    queues.lpush("gpu", json.dumps(genuine(work_id=2**31 - 1)))
    queues.lpush("deliver", json.dumps(genuine("worker.deliver", work_id=2**31 - 1)))

    a_study_is_done(site, 3)


BROADCASTS = (
    "shutdown",
    "pool_shrink",
    "pool_grow",
    "pool_restart",
    "autoscale",
    "cancel_consumer",
    "add_consumer",
    "revoke",
    "terminate",
    "rate_limit",
    "time_limit",
    "enable_events",
    "election",
    "memdump",
)


def test_broadcasts_do_not_stop_a_worker(site: Site, queues: Redis) -> None:
    arguments = {"queue": "gpu", "n": 1, "task_id": "1", "signal": "KILL", "min": 0, "max": 0}
    for command in BROADCASTS:
        message = {**genuine(), "headers": {}}
        body = {"method": command, "arguments": arguments, "destination": None}
        message["body"] = json.dumps(body)
        queues.publish("/0.celery.pidbox", json.dumps(message))
        queues.publish("/0.celeryev/worker.heartbeat", "garbage")
        for key in ("celery@vm.celery.pidbox", "celery.pidbox", "celery"):
            queues.lpush(key, json.dumps(message))

    a_study_is_done(site, 4)
    assert len(queues.lrange("celery", 0, -1)) == len(BROADCASTS)


OTHER_TYPES: dict[str, Callable[[Redis, str], object]] = {
    "a text": lambda client, key: client.set(key, "theirs"),
    "a hash": lambda client, key: client.hset(key, "field", "theirs"),
    "a set": lambda client, key: client.sadd(key, "theirs"),
    "a sorted set": lambda client, key: client.zadd(key, {"theirs": 1}),
    "a list": lambda client, key: client.rpush(key, "theirs"),
    "a stream": lambda client, key: client.xadd(key, {"field": "theirs"}),
}


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("gpu", "a text"),
        ("unacked", "a text"),
        pytest.param("gpu", "a hash", marks=pytest.mark.long),
        pytest.param("gpu", "a set", marks=pytest.mark.long),
        pytest.param("gpu", "a sorted set", marks=pytest.mark.long),
        pytest.param("gpu", "a stream", marks=pytest.mark.long),
        pytest.param("deliver", "a hash", marks=pytest.mark.long),
        pytest.param("unacked", "a list", marks=pytest.mark.long),
        pytest.param("unacked_index", "a text", marks=pytest.mark.long),
        pytest.param("unacked_index", "a list", marks=pytest.mark.long),
        pytest.param("_kombu.binding.gpu", "a text", marks=pytest.mark.long),
    ],
)
def test_key_of_another_type_is_told_and_the_next_study_is_done_without_it(
    site: Site, queues: Redis, key: str, kind: str
) -> None:
    before = site.worker.output().count("holds data of another application")
    found_before = site.worker.output().count("broker_connected")
    queues.delete(key)
    OTHER_TYPES[kind](queues, key)

    # Only what reads or writes the key can tell.
    queues.lpush("deliver" if key != "deliver" else "gpu", json.dumps(genuine(work_id=2**31 - 1)))
    if key in {"gpu", "deliver", "unacked"}:
        wait_for(
            lambda: site.worker.output().count("holds data of another application") > before,
            seconds=60,
            what="the worker says what is there",
        )
    queues.delete(key)

    a_study_is_done(site, zlib.crc32(f"{key} {kind}".encode()))
    if key in {"gpu", "deliver", "unacked"}:
        # The same trouble is told anew only once the broker counts as found again.
        wait_for(
            lambda: site.worker.output().count("broker_connected") > found_before,
            seconds=60,
            what="the worker says that the broker is found",
        )


def test_log_quotes_nothing_of_a_message(site: Site, queues: Redis) -> None:
    message = genuine("Doe^Jane", argsrepr="Doe^Jane", shadow="Doe^Jane")
    before = discarded(site)
    queues.lpush("gpu", json.dumps(message))
    taken(site, queues, "a patient's name")

    a_study_is_done(site, 5)
    assert "Doe" not in site.worker.output()
    assert discarded(site) >= before
