"""Which workers are there, as the ledger knows by what they say."""

from datetime import timedelta

from sqlalchemy import update

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.workers import (
    BEAT_SECONDS,
    WorkerFacts,
    note_end,
    note_worker,
    why_untaken,
    workers,
)
from dicom_node.studies.ledger.site_tables import KnownWorker

FIRST, SECOND = "1" * 32, "2" * 32


def noted(database: Database, identity: str, name: str = "gpu@host", trouble: str = "") -> None:
    with database.writing() as session:
        note_worker(
            session,
            identity,
            name=name,
            queues=["gpu", "deliver"],
            processes=2,
            version="0.1.0",
            trouble=trouble,
        )


def heard_before(database: Database, identity: str, **ago: float) -> None:
    """Let a worker have been silent for some time."""
    with database.writing() as session:
        session.execute(
            update(KnownWorker)
            .where(KnownWorker.identity == identity)
            .values(seen_at=database.now() - timedelta(**ago))
        )


def known(database: Database) -> list[WorkerFacts]:
    with database.reading() as session:
        return workers(session)


def test_worker_that_was_just_heard_runs(database: Database) -> None:
    noted(database, FIRST)

    (worker,) = known(database)
    assert worker.is_running
    assert (worker.name, worker.queues, worker.processes) == ("gpu@host", ("deliver", "gpu"), 2)


def test_worker_that_missed_one_beat_runs(database: Database) -> None:
    noted(database, FIRST)
    heard_before(database, FIRST, seconds=2 * BEAT_SECONDS)

    (worker,) = known(database)
    assert worker.is_running


def test_worker_that_missed_two_beats_is_silent_half_a_minute_after_its_death(
    database: Database,
) -> None:
    noted(database, FIRST)
    heard_before(database, FIRST, seconds=26)  # it may die just after a beat: and pages look later

    (worker,) = known(database)
    assert worker.silent
    assert not worker.is_running


def test_worker_that_said_it_ends_is_not_missed(database: Database) -> None:
    noted(database, FIRST)
    with database.writing() as session:
        note_end(session, FIRST)
    heard_before(database, FIRST, hours=1)

    (worker,) = known(database)
    assert not worker.silent
    assert not worker.is_running


def test_worker_that_was_started_again_takes_the_place_of_its_former_start(
    database: Database,
) -> None:
    noted(database, FIRST)
    heard_before(database, FIRST, minutes=5)
    noted(database, SECOND)

    (worker,) = known(database)
    assert worker.is_running


def test_two_workers_under_one_name_are_both_known(database: Database) -> None:
    noted(database, FIRST)
    noted(database, SECOND)

    assert len(known(database)) == 2


def test_worker_that_was_not_heard_for_a_week_is_forgotten_at_the_next_start(
    database: Database,
) -> None:
    noted(database, FIRST, "old@host")
    heard_before(database, FIRST, days=8)
    noted(database, SECOND)

    assert [one.name for one in known(database)] == ["gpu@host"]


TROUBLE = "the broker cannot be used: ConnectionError"


def untaken(database: Database) -> dict[str, str]:
    with database.reading() as session:
        return why_untaken(session)


def test_trouble_of_the_only_worker_holds_up_both_queues(database: Database) -> None:
    noted(database, FIRST, trouble=TROUBLE)

    words = f"no worker takes it: {TROUBLE} (found by gpu@host)"
    assert untaken(database) == {"gpu": words, "deliver": words}


def test_trouble_of_one_of_two_workers_holds_up_nothing(database: Database) -> None:
    noted(database, FIRST, trouble=TROUBLE)
    noted(database, SECOND, name="gpu@other")

    assert untaken(database) == {}


def test_trouble_that_has_passed_is_gone(database: Database) -> None:
    noted(database, FIRST, trouble=TROUBLE)
    noted(database, FIRST)

    assert untaken(database) == {}


def test_trouble_of_a_worker_that_is_gone_says_nothing(database: Database) -> None:
    noted(database, FIRST, trouble=TROUBLE)
    heard_before(database, FIRST, seconds=31)

    assert untaken(database) == {}
