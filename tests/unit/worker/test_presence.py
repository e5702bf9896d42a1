"""A worker says in the ledger that it is there, and that it ends."""

import os
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from services import wait_for

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.workers import WorkerFacts, workers
from worker.processes.presence import Presence


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.sqlite"


def presence(url: str) -> Presence:
    return Presence(url=url, name="gpu@host", queues=["gpu"], processes=2)


def known(url: str) -> list[WorkerFacts]:
    with closing(Database(url)) as database:
        if not database.has_tables():
            return []
        with database.reading() as session:
            return workers(session)


def migrated(url: str) -> None:
    with closing(Database(url)) as database:
        database.migrate()


def test_worker_is_known_from_its_start_to_its_end(url: str) -> None:
    migrated(url)
    worker = presence(url)

    worker.start()
    wait_for(lambda: known(url), seconds=20, what="the ledger knows the worker")
    (running,) = known(url)
    worker.end()

    (ended,) = known(url)
    assert (running.is_running, running.queues, running.processes) == (True, ("gpu",), 2)
    assert ended.ended_at is not None


def test_worker_without_a_ledger_makes_none(url: str, tmp_path: Path) -> None:
    presence(url).end()

    assert list(tmp_path.iterdir()) == []


def test_ledger_that_cannot_be_told_is_said_once_until_it_is_well(
    url: str, log_lines: list[Any]
) -> None:
    worker = presence(url)
    worker._tell(ends=False)
    worker._tell(ends=False)
    said = [(line["event"], line["log_level"]) for line in log_lines]
    migrated(url)
    worker._tell(ends=False)
    Path(url.removeprefix("sqlite:///")).unlink()
    worker._tell(ends=False)

    assert said == [("presence_not_told", "warning")]
    assert [line["event"] for line in log_lines].count("presence_not_told") == 2


def test_no_process_is_forked_while_the_ledger_is_open(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated(url)
    opened, may_close = threading.Event(), threading.Event()
    require = Database.require_schema

    def held(database: Database) -> None:
        opened.set()
        assert may_close.wait(20)
        require(database)

    monkeypatch.setattr(Database, "require_schema", held)
    worker = presence(url)
    worker.start()
    assert opened.wait(20)
    forked: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        forked.append(child)

    forking = threading.Thread(target=fork)
    forking.start()
    forking.join(0.2)
    was_held = not forked
    may_close.set()
    forking.join(20)
    os.waitpid(forked[0], 0)
    worker.end()

    assert was_held
