from datetime import timedelta
from typing import Any

import pytest
from node_factory import NOW, after, analysis_row, claimed, delivery_row, study_row

from dicom_node.errors import BrokerDownError
from dicom_node.studies.broker import ANALYZE_TASK, DELIVER_QUEUE, DELIVER_TASK, GPU_QUEUE
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.doubt import note_tested
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis


class FakeBroker:
    """A broker that a test can take down, empty, and look into."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, list[int]]] = []
        self.length = 0
        self.down = False

    def notify(self, task: str, queue: str, ids: list[int]) -> None:
        if self.down:
            raise BrokerDownError("for the test")
        self.sent.append((task, queue, ids))
        self.length += len(ids)

    def waiting(self, queue: str) -> int:
        if self.down:
            raise BrokerDownError("for the test")
        return self.length


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def dispatcher(database: Database, broker: FakeBroker) -> Dispatcher:
    return Dispatcher(
        database,
        broker,  # type: ignore[arg-type]  # the two methods are all that is used
        redispatch_after=timedelta(seconds=30),
        maximum_attempts=3,
    )


@pytest.fixture
def analysis(database: Database) -> Analysis:
    with database.writing() as session:
        return analysis_row(session, study_row(session))


def row(database: Database, one: Any) -> Any:
    with database.reading() as session:
        return session.get_one(type(one), one.id)


def test_due_analysis_is_told_to_the_gpu_queue(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis, database: Database
) -> None:
    dispatcher.tick(NOW)

    assert broker.sent == [(ANALYZE_TASK, GPU_QUEUE, [analysis.id])]
    assert row(database, analysis).dispatched_at == NOW


def test_due_delivery_is_told_to_its_own_queue(
    dispatcher: Dispatcher, broker: FakeBroker, database: Database
) -> None:
    with database.writing() as session:
        done = analysis_row(session, study_row(session), state=AnalysisState.DONE)
        delivery = delivery_row(session, done)

    dispatcher.tick(NOW)

    assert broker.sent == [(DELIVER_TASK, DELIVER_QUEUE, [delivery.id])]


def test_due_work_is_told_once(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis
) -> None:
    for seconds in (0, 1, 29, 60, 600):
        dispatcher.tick(after(seconds))

    assert len(broker.sent) == 1


def test_work_that_is_not_due_is_not_told(
    dispatcher: Dispatcher, broker: FakeBroker, database: Database
) -> None:
    with database.writing() as session:
        analysis_row(session, study_row(session), due_at=after(5))

    dispatcher.tick(after(4))
    assert broker.sent == []
    dispatcher.tick(after(5))

    assert len(broker.sent) == 1


@pytest.mark.parametrize(("seconds", "messages"), [(29, 1), (30, 2)])
def test_message_that_the_broker_lost_is_sent_again_after_a_while(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis, seconds: int, messages: int
) -> None:
    dispatcher.tick(NOW)
    broker.length = 0

    dispatcher.tick(after(seconds))

    assert len(broker.sent) == messages


def test_message_that_waits_in_a_long_queue_is_not_sent_again(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis
) -> None:
    dispatcher.tick(NOW)
    broker.length = 5

    dispatcher.tick(after(3600))

    assert len(broker.sent) == 1


def test_loss_is_told_in_the_log(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis, log_lines: list[Any]
) -> None:
    dispatcher.tick(NOW)
    broker.length = 0

    dispatcher.tick(after(30))

    assert log_lines[-1]["event"] == "messages_lost"
    assert (log_lines[-1]["queue"], log_lines[-1]["count"]) == (GPU_QUEUE, 1)


def test_broker_that_is_down_leaves_the_ledger_as_it_is(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis, database: Database
) -> None:
    broker.down = True

    with pytest.raises(BrokerDownError):
        dispatcher.tick(NOW)

    assert row(database, analysis).dispatched_at is None


def test_work_is_told_once_the_broker_is_back(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis
) -> None:
    broker.down = True
    with pytest.raises(BrokerDownError):
        dispatcher.tick(NOW)
    broker.down = False

    dispatcher.tick(after(1))

    assert broker.sent == [(ANALYZE_TASK, GPU_QUEUE, [analysis.id])]


def test_analysis_of_a_silent_worker_is_told_again(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis, database: Database
) -> None:
    dispatcher.tick(NOW)
    with database.writing() as session:
        claimed(session, session.get_one(Analysis, analysis.id))

    dispatcher.tick(after(41))

    assert len(broker.sent) == 2
    assert row(database, analysis).state is AnalysisState.DUE


def test_silent_worker_is_found_while_the_broker_is_down(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis, database: Database
) -> None:
    with database.writing() as session:
        claimed(session, session.get_one(Analysis, analysis.id))
    broker.down = True

    with pytest.raises(BrokerDownError):
        dispatcher.tick(after(41))

    assert row(database, analysis).state is AnalysisState.DUE


def test_analysis_that_kills_every_worker_is_given_up(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis, database: Database
) -> None:
    for attempt in range(3):
        with database.writing() as session:
            claimed(session, session.get_one(Analysis, analysis.id), at=after(100 * attempt))
            if attempt == 2:
                note_tested(
                    session,
                    session.get_one(Analysis, analysis.id),
                    "host:1 analysed test images",
                    at=NOW,
                )
        dispatcher.tick(after(100 * attempt + 50))

    assert row(database, analysis).state is AnalysisState.FAILED
    assert len(broker.sent) == 2


def test_running_work_is_not_told(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis, database: Database
) -> None:
    with database.writing() as session:
        claimed(session, session.get_one(Analysis, analysis.id))

    dispatcher.tick(after(1))

    assert broker.sent == []


def test_delivery_that_a_worker_has_begun_is_found_between_two_ticks(
    dispatcher: Dispatcher, broker: FakeBroker, database: Database, analysis: Analysis
) -> None:
    dispatcher.tick(NOW)
    assert not dispatcher.has_new_work()
    with database.writing() as session:
        delivery = delivery_row(session, session.get_one(Analysis, analysis.id))

    assert dispatcher.has_new_work()
    dispatcher.notify(NOW)

    assert broker.sent[1:] == [(DELIVER_TASK, DELIVER_QUEUE, [delivery.id])]
    assert not dispatcher.has_new_work()


def test_new_work_for_which_no_broker_answers_waits_for_the_next_tick(
    dispatcher: Dispatcher, broker: FakeBroker, analysis: Analysis
) -> None:
    broker.down = True
    with pytest.raises(BrokerDownError):
        dispatcher.notify(NOW)

    assert not dispatcher.has_new_work()
    broker.down = False
    dispatcher.tick(NOW)
    assert broker.sent == [(ANALYZE_TASK, GPU_QUEUE, [analysis.id])]
