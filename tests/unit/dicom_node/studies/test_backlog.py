"""A backlog of deliveries keeps nothing new waiting, and costs no more than a few rows."""

from datetime import datetime, timedelta

import pytest
from node_factory import LEASE, NOW, after, analysis_row, claimed, delivery_row, study_row
from sqlalchemy import select, text
from statement_costs import counted

from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE
from dicom_node.studies.dispatch import QUEUED, Dispatcher
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.due_work import count_dispatched, note_dispatched
from dicom_node.studies.ledger.due.work import claim
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery

BACKLOG = 5000


class RecordingBroker:
    """A broker that keeps what it is told; what workers take, a test takes away."""

    def __init__(self) -> None:
        self.queues: dict[str, list[int]] = {GPU_QUEUE: [], DELIVER_QUEUE: []}

    def notify(self, task: str, queue: str, ids: list[int]) -> None:
        self.queues[queue] += ids

    def empty(self, queue: str) -> int:
        count, self.queues[queue] = len(self.queues[queue]), []
        return count

    def waiting(self, queue: str) -> int:
        return len(self.queues[queue])


@pytest.fixture
def broker() -> RecordingBroker:
    return RecordingBroker()


def dispatcher_of(
    database: Database, broker: RecordingBroker, now: datetime | None = None
) -> Dispatcher:
    return Dispatcher(
        database,
        broker,  # type: ignore[arg-type]  # these methods are all that is used
        redispatch_after=timedelta(seconds=30),
        maximum_attempts=3,
        clock=None if now is None else lambda: now,
    )


@pytest.fixture
def backlog(database: Database, request: pytest.FixtureRequest) -> list[int]:
    """Deliveries that failed before and have long been due, to an archive that is away."""
    count = getattr(request, "param", BACKLOG)
    with database.writing() as session:
        for number in range(2):
            study = study_row(session, f"1.2.3.{number}")
            analysis_row(session, study, state=AnalysisState.DONE)
        first = delivery_row(
            session,
            session.get_one(Analysis, 1),
            destination="away",
            attempts=3,
            due_at=after(-3600),
        )
        columns = [one.name for one in Delivery.__table__.columns if one.name != "id"]
        copied = ", ".join("s.id" if one == "analysis_id" else f"d.{one}" for one in columns)
        session.execute(
            text(
                "INSERT INTO studies (study_instance_uid, state, version, patient_digest, "
                "revision, remark, first_received_at, last_received_at) "
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                f"WHERE i < {count}) SELECT '1.2.9.' || i, state, version, patient_digest, "
                "revision, remark, first_received_at, last_received_at "
                "FROM studies, n WHERE studies.id = 1"
            )
        )
        analysis_columns = [one.name for one in Analysis.__table__.columns if one.name != "id"]
        chosen = ", ".join("s.id" if one == "study_id" else f"a.{one}" for one in analysis_columns)
        session.execute(
            text(
                f"INSERT INTO analyses ({', '.join(analysis_columns)}) SELECT {chosen} "
                "FROM analyses a, studies s WHERE a.id = 1 AND s.study_instance_uid LIKE '1.2.9.%'"
            )
        )
        session.execute(
            text(
                f"INSERT INTO deliveries ({', '.join(columns)}) SELECT {copied} "
                f"FROM deliveries d, analyses s WHERE d.id = {first.id} AND s.id > 2"
            )
        )
    with database.reading() as session:
        return list(session.scalars(text("SELECT id FROM deliveries ORDER BY id")))


def _takes_results_again(database: Database) -> None:
    with database.writing() as session:
        delivery_row(
            session,
            session.get_one(Analysis, 2),
            destination="away",
            state=DeliveryState.ACCEPTED,
            finished_at=NOW,
        )


def test_no_more_of_a_backlog_is_in_the_queue_than_workers_take_soon(
    database: Database, broker: RecordingBroker, backlog: list[int]
) -> None:
    dispatcher = dispatcher_of(database, broker)
    _takes_results_again(database)

    for seconds in range(3):
        dispatcher.tick(after(seconds))

    assert len(broker.queues[DELIVER_QUEUE]) == QUEUED


def test_destination_that_fails_is_tried_with_one_delivery_at_a_time(
    database: Database, broker: RecordingBroker, backlog: list[int]
) -> None:
    dispatcher = dispatcher_of(database, broker)

    dispatcher.tick(NOW)
    dispatcher.tick(after(1))

    (told,) = broker.queues[DELIVER_QUEUE]
    with database.writing() as session:
        assert claimed(session, session.get_one(Delivery, told))
    dispatcher.tick(after(2))
    assert broker.queues[DELIVER_QUEUE] == [told]


@pytest.mark.parametrize("backlog", [66_000], indirect=True)
def test_more_messages_than_a_statement_takes_values_are_noted(
    database: Database, backlog: list[int]
) -> None:
    # PostgreSQL takes 65,535 values in a statement, SQLite 32,766 by its default.
    with database.writing() as session:
        told = list(session.scalars(select(Delivery)))
        note_dispatched(session, Delivery, told, at=after(1))

    assert len(told) == len(backlog) > 65_535
    with database.reading() as session:
        assert count_dispatched(session, Delivery) == len(backlog)


def test_queue_that_a_former_version_has_filled_is_made_anew(
    database: Database, broker: RecordingBroker, backlog: list[int]
) -> None:
    broker.queues[DELIVER_QUEUE] = list(backlog)
    with database.writing() as session:
        session.execute(text("UPDATE deliveries SET dispatched_at = due_at"))
        new = delivery_row(session, session.get_one(Analysis, 2), destination="healthy")
    dispatcher = dispatcher_of(database, broker)

    dispatcher.tick(NOW)
    dispatcher.tick(after(1))

    assert len(broker.queues[DELIVER_QUEUE]) == 2
    assert new.id in broker.queues[DELIVER_QUEUE]


def test_new_delivery_to_another_destination_passes_a_full_queue(
    database: Database, broker: RecordingBroker, backlog: list[int]
) -> None:
    dispatcher = dispatcher_of(database, broker)
    dispatcher.tick(NOW)
    with database.writing() as session:
        new = delivery_row(session, session.get_one(Analysis, 2), destination="healthy")

    dispatcher.tick(after(1))

    assert broker.queues[DELIVER_QUEUE][1:] == [new.id]


def test_new_delivery_to_the_same_destination_is_the_next_one_told(
    database: Database, broker: RecordingBroker, backlog: list[int]
) -> None:
    with database.writing() as session:
        new = delivery_row(session, session.get_one(Analysis, 2), destination="away")

    dispatcher_of(database, broker).tick(NOW)

    assert broker.queues[DELIVER_QUEUE][0] == new.id


def test_every_destination_has_its_turn_before_one_has_its_second(
    database: Database, broker: RecordingBroker, backlog: list[int]
) -> None:
    with database.writing() as session:
        new = delivery_row(session, session.get_one(Analysis, 2), destination="zeta", attempts=1)

    dispatcher_of(database, broker).tick(NOW)

    assert new.id in broker.queues[DELIVER_QUEUE][:2]


def test_messages_are_stamped_when_they_are_sent_and_do_not_count_as_lost(
    database: Database, broker: RecordingBroker, backlog: list[int]
) -> None:
    dispatcher_of(database, broker, now=after(60)).tick(NOW)
    broker.queues[DELIVER_QUEUE].clear()

    dispatcher_of(database, broker, now=after(61)).tick(after(61))

    assert broker.queues[DELIVER_QUEUE] == []


@pytest.mark.parametrize("statistics", [False, True], ids=["as it is made", "analysed"])
def test_tick_reads_a_few_rows_of_a_backlog(
    database: Database, broker: RecordingBroker, backlog: list[int], statistics: bool
) -> None:
    if statistics:
        with database.writing() as session:
            session.execute(text("ANALYZE"))
    dispatcher = dispatcher_of(database, broker)
    dispatcher.tick(NOW)
    with database.writing() as session:
        claimed(session, session.get_one(Delivery, broker.queues[DELIVER_QUEUE][0]))
        delivery_row(session, session.get_one(Analysis, 2), destination="healthy")

    with counted(database) as cost:
        for seconds in range(1, 4):
            dispatcher.tick(after(seconds))

    assert cost.rows < BACKLOG // 2, str(cost)


@pytest.mark.parametrize("statistics", [False, True], ids=["as it is made", "analysed"])
def test_claim_reads_a_few_rows_of_a_backlog(
    database: Database, backlog: list[int], statistics: bool
) -> None:
    if statistics:
        with database.writing() as session:
            session.execute(text("ANALYZE"))

    with counted(database) as cost:
        for work_id in backlog[:3]:
            with database.writing() as session:
                claim(session, Delivery, work_id, holder="host:1", lease=LEASE, at=NOW)

    assert cost.rows < BACKLOG // 2, str(cost)
