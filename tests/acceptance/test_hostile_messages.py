"""What an intruder puts into the broker's queues is discarded, and the next study is done."""

import json
import re
from collections.abc import Iterator
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


@pytest.mark.parametrize("queue", ["gpu", "deliver"])
def test_each_message_is_named_in_the_log_and_the_next_study_is_done(
    site: Site, queues: Redis, queue: str
) -> None:
    process = site.worker.process
    # Those of one minute: more are counted in one line.
    for number, (name, message) in enumerate(MESSAGES.items()):
        before = discarded(site)
        queues.lpush(queue, message)
        taken(site, queues, name)
        if number < 40:
            wait_for(lambda before=before: discarded(site) > before, seconds=20, what=name)

    a_study_is_done(site, 1 if queue == "gpu" else 2)
    assert site.worker.process is process
    assert not queues.hlen("unacked")


@pytest.mark.long
@pytest.mark.parametrize("name", MESSAGES)
def test_next_study_is_done_after(site: Site, queues: Redis, name: str) -> None:
    queues.lpush("gpu", MESSAGES[name])
    queues.lpush("deliver", MESSAGES[name])

    a_study_is_done(site, 100 + list(MESSAGES).index(name))


def test_id_that_the_ledger_does_not_have_runs_nothing(site: Site, queues: Redis) -> None:
    queues.lpush("gpu", json.dumps(genuine(work_id=2**62)))
    queues.lpush("deliver", json.dumps(genuine("worker.deliver", work_id=2**62)))

    a_study_is_done(site, 3)


def test_broadcasts_do_not_stop_a_worker(site: Site, queues: Redis) -> None:
    for command in ("shutdown", "pool_shrink", "cancel_consumer", "revoke"):
        message = {**genuine(), "headers": {}}
        message["body"] = json.dumps({"method": command, "arguments": {}, "destination": None})
        queues.publish("/0.celery.pidbox", json.dumps(message))
        queues.publish("/0.celeryev/worker.heartbeat", "garbage")

    a_study_is_done(site, 4)


def test_log_quotes_nothing_of_a_message(site: Site, queues: Redis) -> None:
    message = genuine("Doe^Jane", argsrepr="Doe^Jane", shadow="Doe^Jane")
    before = discarded(site)
    queues.lpush("gpu", json.dumps(message))
    taken(site, queues, "a patient's name")

    a_study_is_done(site, 5)
    assert "Doe" not in site.worker.output()
    assert discarded(site) >= before
