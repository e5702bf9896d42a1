"""Pauses outlast kill -9 of everything, and an urgent study overtakes what is in the queue."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from night import Night
from night_sender import Sender
from services import wait_for
from sqlalchemy import text

from dicom_node.studies.dispatch import QUEUED

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def night(tmp_path: Path, bundle: Path) -> Iterator[Night]:
    site = Night(tmp_path, bundle, maximum_attempts=4)
    try:
        for service in (site.archive, site.broker):
            service.start()
        site.start_node()
        yield site
    finally:
        site.stop()


def asked(night: Night, query: str) -> list[object]:
    with night._database() as database, database.reading() as session:
        return list(session.scalars(text(query)))


def send(night: Night, count: int, *, first: int = 0, priority: str = "") -> None:
    sender = Sender(night.node_port, ["sound"] * count, pause=0, first=first, priority=priority)
    sender.start()
    sender.join(60)
    wait_for(
        lambda: len(asked(night, "SELECT id FROM analyses")) == first + count,
        seconds=60,
        what="the studies are due",
    )


def all_delivered(night: Night, count: int) -> bool:
    return asked(night, "SELECT state FROM deliveries") == ["accepted"] * count


@pytest.mark.long
def test_what_is_paused_waits_over_every_kill_and_is_done_when_resumed(night: Night) -> None:
    paused = night.run("pause", "worker", "--reason", "moving")
    assert paused.returncode == 0, paused.stderr
    night.worker.start()
    night.delivery.start()
    send(night, 3)  # receiving goes on

    for service in (night.node, night.worker, night.delivery):
        night.kill(service)
    night.wipe_broker()
    send(night, 1, first=3)

    assert asked(night, "SELECT attempts FROM analyses") == [0] * 4
    assert "worker is paused by" in night.run("studies").stdout
    wait_for(lambda: " paused " in night.node.output(), seconds=30, what="a line of the log")

    assert night.run("resume", "worker").returncode == 0
    wait_for(lambda: all_delivered(night, 4), seconds=120, what="all are delivered")
    assert asked(night, "SELECT attempts FROM analyses") == [1] * 4


def test_urgent_study_is_begun_before_all_that_lies_in_the_queue(night: Night) -> None:
    send(night, QUEUED + 2)
    told = "SELECT count(*) FROM analyses WHERE dispatched_at IS NOT NULL"
    wait_for(lambda: asked(night, told) == [QUEUED], seconds=30, what="the queue is full")
    send(night, 1, first=QUEUED + 2, priority="STAT")

    night.worker.start()
    night.delivery.start()
    wait_for(lambda: all_delivered(night, QUEUED + 3), seconds=180, what="all are delivered")

    begun = asked(
        night,
        "SELECT subject_id FROM transitions WHERE subject = 'analysis' AND event = 'claim' "
        "ORDER BY id",
    )
    assert begun[0] == QUEUED + 3
    assert sorted(begun) == list(range(1, QUEUED + 4))  # each once
