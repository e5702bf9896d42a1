"""What is paused waits, whole and in order, until it is resumed; it is receiving that goes on."""

from datetime import timedelta

import pytest
from node_factory import LEASE, NOW, after, analysis_row, delivery_row, study_row
from sqlalchemy import select
from test_backlog import RecordingBroker, dispatcher_of

from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.circuits import circuits, tried_since
from dicom_node.studies.ledger.due.pauses import Holds, Paused, pause, pauses, resume
from dicom_node.studies.ledger.due.work import claim
from dicom_node.studies.ledger.queries.reading import summary
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

WORK = {"ROOM1": 1, "ROOM2": 2}
"""Analyses by their study's sender; deliveries have the numbers 1 (archive) and 2 (second)."""


@pytest.fixture
def work(database: Database) -> Database:
    with database.writing() as session:
        for number, sender in enumerate(WORK):
            study = study_row(session, f"1.2.{number}", calling_ae_title=sender)
            analysis_row(session, study)
        done = analysis_row(session, study_row(session, "1.3"), state=AnalysisState.DONE)
        for destination in ("archive", "second"):
            delivery_row(session, done, destination=destination)
    return database


def hold(database: Database, kind: Paused, name: str = "") -> None:
    with database.writing() as session:
        pause(session, kind, name, reason="moving", paused_by="ann", at=NOW)


def told(database: Database) -> tuple[list[int], list[int]]:
    broker = RecordingBroker()
    dispatcher_of(database, broker).tick(after(1))
    return sorted(broker.queues[GPU_QUEUE]), sorted(broker.queues[DELIVER_QUEUE])


WHAT_GOES_ON = pytest.mark.parametrize(
    ("kind", "name", "analyses", "deliveries"),
    [
        (Paused.NODE, "", [], []),
        (Paused.WORKER, "", [], [1, 2]),
        (Paused.SENDER, "ROOM1", [2], [1, 2]),
        (Paused.SENDER, "room1", [1, 2], [1, 2]),
        (Paused.DESTINATION, "second", [1, 2], [1]),
    ],
)


@WHAT_GOES_ON
def test_workers_are_told_of_what_is_not_paused_and_after_it_of_all(
    work: Database, kind: Paused, name: str, analyses: list[int], deliveries: list[int]
) -> None:
    hold(work, kind, name)

    assert told(work) == (analyses, deliveries)

    with work.writing() as session:
        assert resume(session, kind, name, at=NOW)
    rest = told(work)
    assert (sorted(analyses + rest[0]), sorted(deliveries + rest[1])) == ([1, 2], [1, 2])


@WHAT_GOES_ON
def test_message_that_is_in_the_queue_already_begins_nothing_that_is_paused(
    work: Database, kind: Paused, name: str, analyses: list[int], deliveries: list[int]
) -> None:
    assert told(work) == ([1, 2], [1, 2])
    hold(work, kind, name)

    with work.writing() as session:
        holds = Holds(pauses=pauses(session))
        begun = {
            table: [
                number
                for number in (1, 2)
                if claim(session, table, number, holder="h:1", lease=LEASE, at=NOW, holds=holds)
            ]
            for table in (Analysis, Delivery)
        }
    assert begun == {Analysis: analyses, Delivery: deliveries}

    with work.writing() as session:
        resume(session, kind, name, at=NOW)
    rest = told(work)  # what was not begun has no message, and gets one
    assert (sorted(analyses + rest[0]), sorted(deliveries + rest[1])) == ([1, 2], [1, 2])


def test_pause_is_kept_in_the_ledger_with_who_when_and_why(work: Database) -> None:
    hold(work, Paused.SENDER, "ROOM1")
    work.close()  # all connections, as at the end of a process

    again = Database(work.engine.url.render_as_string(hide_password=False))
    with again.reading() as session:
        (one,) = pauses(session)
    again.close()

    assert one.in_words() == (
        f"sender ROOM1 is paused by ann since {NOW.isoformat(timespec='seconds')}: moving"
    )


def test_pausing_twice_takes_the_new_reason_and_keeps_the_time(work: Database) -> None:
    hold(work, Paused.NODE)

    with work.writing() as session:
        pause(session, Paused.NODE, "", reason="longer", paused_by="bob", at=after(60))
        (one,) = pauses(session)
        assert (one.reason, one.paused_by, one.since) == ("longer", "bob", NOW)
        assert resume(session, Paused.NODE, "", at=NOW)
        assert not resume(session, Paused.NODE, "", at=NOW)


@pytest.mark.parametrize(
    ("kind", "name", "waits"),
    [
        (Paused.NODE, "", ["1.2.0", "1.2.1", "1.3"]),
        (Paused.WORKER, "", ["1.2.0", "1.2.1"]),
        (Paused.SENDER, "ROOM2", ["1.2.1"]),
        (Paused.DESTINATION, "archive", ["1.3"]),
    ],
)
def test_overview_says_of_what_waits_that_it_is_paused(
    work: Database, kind: Paused, name: str, waits: list[str]
) -> None:
    hold(work, kind, name)

    with work.reading() as session:
        found = {
            study.study_instance_uid: summary(session, study).reason
            for study in session.scalars(select(Study).order_by(Study.id))
        }

    assert [uid for uid, reason in found.items() if "paused by ann since" in reason] == waits


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Paused.NODE, ""), (Paused.RESULTS, ""), (Paused.DESTINATION, "archive")],
)
def test_what_a_pause_kept_has_all_of_its_time_again(
    work: Database, kind: Paused, name: str
) -> None:
    """A pause of a week must not let everything expire at its first failure after it."""
    week = timedelta(days=7)
    hold(work, kind, name)
    with work.writing() as session:
        assert tried_since(session, "archive", NOW) == NOW
        resume(session, kind, name, at=NOW + week)

        assert tried_since(session, "archive", NOW) == NOW + week
        assert circuits(session, at=NOW + week) == {}, "it is not taken for one that fails"


def test_end_of_another_pause_gives_deliveries_no_time(work: Database) -> None:
    hold(work, Paused.WORKER)
    with work.writing() as session:
        resume(session, Paused.WORKER, "", at=NOW + timedelta(days=7))

        assert tried_since(session, "archive", NOW) == NOW


def test_pause_and_resume_are_lines_of_the_log(work: Database, log_lines: list[dict]) -> None:
    broker = RecordingBroker()
    dispatcher = dispatcher_of(work, broker)
    hold(work, Paused.DESTINATION, "archive")
    for seconds in (1, 2):
        dispatcher.tick(after(seconds))
    with work.writing() as session:
        resume(session, Paused.DESTINATION, "archive", at=NOW)

    dispatcher.tick(after(3))

    lines = [(one["event"], one.get("kind")) for one in log_lines]
    assert lines == [("paused", "destination archive"), ("resumed", "destination archive")]
