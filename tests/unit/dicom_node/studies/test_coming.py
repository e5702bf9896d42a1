"""What one node receives keeps the others from settling the study, whatever their clocks say."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from node_factory import NOW, STUDY_UID, Reception, after, mammogram, second_node

from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import SentObject
from dicom_node.studies.host_clock import HostClock
from dicom_node.studies.ledger.arrival.coming import (
    FRESH,
    are_several,
    coming_elsewhere,
    tell_coming,
)
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.own_spool import own_spool
from dicom_node.studies.settling import Patience, settle_if_complete

PATIENCE = Patience(idle=timedelta(seconds=60), grace=timedelta(seconds=5))


def sent(study: str | None = STUDY_UID, *, is_coming: bool = True, since: float = 0) -> SentObject:
    return SentObject(
        association="c" * 16, study_instance_uid=study, is_coming=is_coming, since=after(since)
    )


@pytest.fixture
def two(reception: Reception, tmp_path: Path) -> tuple[int, int]:
    """Return the numbers of two nodes' spools."""
    second = second_node(reception, tmp_path / "second")
    return tuple(own_spool(one.spool, one.database) for one in (reception, second))  # type: ignore[return-value]


def test_single_node_tells_nobody_what_it_receives(spool: Spool, database: Database) -> None:
    own_spool(spool, database)

    with database.reading() as session:
        assert not are_several(session)


def test_other_nodes_read_what_a_node_receives(database: Database, two: tuple[int, int]) -> None:
    told = [sent(), sent(None, is_coming=False, since=3)]
    with database.writing() as session:
        tell_coming(session, two[0], told, at=NOW)

    with database.reading() as session:
        assert are_several(session)
        assert sorted(coming_elsewhere(session, two[1], at=after(1)), key=str) == sorted(
            told, key=str
        )
        assert coming_elsewhere(session, two[0], at=after(1)) == []


def test_many_objects_of_a_study_are_told_once_and_the_newest_counts(
    database: Database, two: tuple[int, int]
) -> None:
    with database.writing() as session:
        tell_coming(session, two[0], [sent(since=n) for n in range(5000)], at=NOW)

    with database.reading() as session:
        assert coming_elsewhere(session, two[1], at=NOW) == [sent(since=4999)]


def test_node_that_has_said_nothing_for_long_keeps_nobody_waiting(
    database: Database, two: tuple[int, int]
) -> None:
    with database.writing() as session:
        tell_coming(session, two[0], [sent()], at=NOW)

    with database.reading() as session:
        assert coming_elsewhere(session, two[1], at=NOW + FRESH) == []


def test_same_is_written_again_only_after_a_while(database: Database, two: tuple[int, int]) -> None:
    for seconds in (0, 1, 4):
        with database.writing() as session:
            tell_coming(session, two[0], [sent()], at=after(seconds))
            assert bool(session.dirty) is (seconds == 0)
    with database.writing() as session:
        tell_coming(session, two[0], [sent()], at=after(6))
        assert session.dirty


def test_study_waits_while_an_object_of_it_comes_to_another_node(
    database: Database, reception: Reception, two: tuple[int, int]
) -> None:
    reception.receive(mammogram())
    at = reception.study().last_received_at + timedelta(minutes=5)
    study_id = reception.study().id

    def settled(at: datetime) -> bool:
        with database.writing() as session:
            coming = coming_elsewhere(session, two[0], at=at)
            found = settle_if_complete(session, study_id, sent=coming, patience=PATIENCE, at=at)
            return found is not None

    with database.writing() as session:
        tell_coming(session, two[1], [sent()], at=at)
    assert not settled(at)
    with database.writing() as session:
        tell_coming(session, two[1], [], at=at)
    assert settled(at)


@pytest.mark.parametrize("hours", [-2, 2])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_times_of_a_host_whose_clock_is_wrong_are_those_of_the_database(
    database: Database, hours: float
) -> None:
    wrong = timedelta(hours=hours)
    clock = HostClock(database, clock=lambda: datetime.now(UTC) + wrong)

    told = clock.shared(datetime.now(UTC) + wrong)

    assert abs(told - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_study_of_a_host_whose_clock_is_wrong_has_the_databases_time(
    database: Database, reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "now", lambda: datetime.now(UTC) + timedelta(hours=3))

    reception.receive(mammogram())

    ahead = reception.study().last_received_at - datetime.now(UTC)
    assert timedelta(hours=2) < ahead < timedelta(hours=4)


def test_small_difference_is_taken_for_none(database: Database) -> None:
    at = datetime.now(UTC)
    assert HostClock(database).shared(at) == at
