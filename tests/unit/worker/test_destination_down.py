"""An archive that takes nothing is one line in the log, and its deliveries wait for it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from test_delivery_tasks import Archive
from unit.dicom_node.node_factory import (
    Reception,
    analysis_row,
    delivery_row,
    result_row,
    study_row,
)
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.errors import SettingsError
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.destinations.circuits import Circuit, circuit_of
from dicom_node.studies.ledger.due import work
from dicom_node.studies.ledger.due.pauses import Paused, pause
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.site_tables import DestinationState
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Delivery, ResultObject, Transition
from worker.deliver.delivery import attempt_delivery, end_deliveries
from worker.runtime import Runtime

COUNT = 6

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.stop()


@pytest.fixture
def site(runtime_with: Callable[..., Runtime], reception: Reception, archive: Archive) -> Runtime:
    """Return a worker with six deliveries due to an archive that does not run yet."""
    destination = DicomDestination(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=archive.port, timeout_seconds=5
    )
    retry = RetrySettings(breaker_failures=2, first_probe_seconds=60)
    node = runtime_with(destinations=(destination,), retry=retry)
    reception.receive(shown_mammogram())
    run_analysis(node, due_analysis(reception))
    with node.database.writing() as session:
        made = session.scalars(select(ResultObject)).all()
        for number in range(COUNT - 1):
            study = study_row(session, f"1.2.{number}")
            done = analysis_row(session, study, state=AnalysisState.DONE)
            for one in made:
                facts = {
                    name: getattr(one, name)
                    for name in ("kind", "variant", "sop_class_uid", "sop_instance_uid", "place")
                }
                result_row(session, done, **facts)
            now = datetime.now(UTC)
            delivery_row(session, done, due_at=now, created_at=now)
    return node


def attempt(node: Runtime, *ids: int) -> None:
    for delivery_id in ids or range(1, COUNT + 1):
        attempt_delivery(node, delivery_id)


def attempt_all(node: Runtime) -> None:
    """Tell of every delivery until each has had its turn: of some, others are begun first."""
    for _ in range(3):
        make_due(node)
        attempt(node)


def states(node: Runtime) -> list[tuple[str, int]]:
    with node.database.reading() as session:
        rows = session.scalars(select(Delivery).order_by(Delivery.id))
        return [(row.state.value, row.attempts) for row in rows]


def circuit(node: Runtime) -> Circuit | None:
    with node.database.reading() as session:
        known = circuit_of(session, "archive", at=database_time(session))
        return None if known is None else known.circuit


def make_due(node: Runtime, **columns: Any) -> None:
    """Let the time pass after which what failed is tried again, and the archive asked."""
    with node.database.writing() as session:
        now = datetime.now(UTC)
        session.execute(update(Delivery).values(due_at=now, **columns))
        session.execute(update(DestinationState).values(probe_at=now))


def test_dead_archive_is_one_line_and_uses_up_no_attempt_of_what_waits(
    site: Runtime, log_lines: list[Any]
) -> None:
    attempt(site)
    attempt(site)

    assert states(site) == [("due", 1)] * 2 + [("due", 0)] * (COUNT - 2)
    first, down = log_lines
    assert first["event"] == "delivery_postponed"
    assert (down["event"], down["log_level"]) == ("destination_down", "error")
    assert "does not answer. Check that it is running" in down["reason"]


def test_archive_that_stays_dead_is_asked_and_changes_nothing(
    site: Runtime, log_lines: list[Any]
) -> None:
    attempt(site)
    before = states(site)
    with site.database.reading() as session:
        history = len(session.scalars(select(Transition)).all())
    log_lines.clear()

    for _ in range(3):
        make_due(site)
        attempt(site)

    assert (states(site), log_lines, circuit(site)) == (before, [], Circuit.OPEN)
    with site.database.reading() as session:
        assert len(session.scalars(select(Transition)).all()) == history


def test_everything_is_delivered_once_the_archive_is_back(
    site: Runtime, archive: Archive, log_lines: list[Any]
) -> None:
    attempt(site)
    archive.start()
    attempt(site, COUNT)  # it is not time to ask
    assert states(site)[-1] == ("due", 0)
    log_lines.clear()

    make_due(site)
    attempt(site, COUNT)

    assert [state for state, _ in states(site)].count("accepted") == 1
    assert circuit(site) is None
    attempt_all(site)
    assert {state for state, _ in states(site)} == {"accepted"}
    events = [line["event"] for line in log_lines]
    assert events.count("destination_answers") == 1
    assert set(events) == {"destination_answers", "results_delivered"}


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (0xA700, "0xA700"),
        pytest.param(0x0122, "0x0122", marks=pytest.mark.long),
        pytest.param(0xC000, "0xC000", marks=pytest.mark.long),
    ],
)
def test_refusal_of_everything_is_one_cause(
    site: Runtime, archive: Archive, log_lines: list[Any], status: int, word: str
) -> None:
    archive.start().statuses = [status] * 100

    attempt(site)

    assert circuit(site) is Circuit.OPEN
    assert [state for state, attempts in states(site) if attempts == 0] == ["due"] * (COUNT - 2)
    (down,) = [line for line in log_lines if line["event"] == "destination_down"]
    assert word in down["reason"]


def test_nothing_more_is_refused_for_good_by_who_refuses_everything(
    site: Runtime, archive: Archive
) -> None:
    archive.start().statuses = [0xC000] * 100
    attempt(site)
    assert [state for state, _ in states(site)].count("refused") == 1

    for _ in range(4):
        make_due(site)
        attempt(site)

    assert [state for state, _ in states(site)].count("refused") == 1
    archive.statuses = []
    for _ in range(2):
        make_due(site)
        attempt(site)
    assert sorted(state for state, _ in states(site)) == ["accepted"] * (COUNT - 1) + ["refused"]


A_WEEK_AND_A_DAY = timedelta(days=8)


def test_nothing_expires_at_an_archive_that_comes_back_ill_after_its_time(
    site: Runtime, archive: Archive, log_lines: list[Any]
) -> None:
    attempt(site)
    archive.start().statuses = [0xA700] * 1000  # it answers, and its disk is full
    make_due(site, created_at=datetime.now(UTC) - A_WEEK_AND_A_DAY)
    for _ in range(COUNT + 1):
        make_due(site)
        attempt(site)
    assert {state for state, _ in states(site)} == {"due"}

    archive.statuses = [0x0000, 0xA700] * COUNT  # it is back, and takes a part of what it is sent
    attempt_all(site)
    assert {state for state, _ in states(site)} <= {"due", "accepted"}
    archive.statuses = []
    attempt_all(site)

    assert {state for state, _ in states(site)} == {"accepted"}
    assert "delivery_expired" not in [line["event"] for line in log_lines]


def test_nothing_expires_for_a_trouble_of_the_worker_while_the_archive_is_down(
    site: Runtime, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(site)
    archive.start()
    make_due(site, created_at=datetime.now(UTC) - A_WEEK_AND_A_DAY)

    with monkeypatch.context() as patch:
        patch.setattr("worker.deliver.delivery._wanted", lambda *_: 1 / 0)
        attempt(site)

    assert circuit(site) is Circuit.HALF_OPEN
    assert {state for state, _ in states(site)} == {"due"}


def test_delivery_that_no_other_failure_excuses_expires(site: Runtime, archive: Archive) -> None:
    archive.start().statuses = [0x0000, 0xA700]
    make_due(site, created_at=datetime.now(UTC) - A_WEEK_AND_A_DAY)

    attempt(site)

    assert [state for state, _ in states(site)].count("expired") == 1


def test_delivery_that_is_made_young_while_it_is_sent_does_not_expire(
    site: Runtime, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_due(site, created_at=datetime.now(UTC) - A_WEEK_AND_A_DAY)

    def leap(*_: object) -> None:
        make_due(site, created_at=datetime.now(UTC))
        raise SettingsError("its profile is away")

    monkeypatch.setattr("worker.deliver.delivery._wanted", leap)
    attempt(site, 1)

    assert {state for state, _ in states(site)} == {"due"}


def test_archive_that_takes_a_part_is_not_down(site: Runtime, archive: Archive) -> None:
    archive.start().statuses = [0x0000, 0xA700, 0x0000] * COUNT

    attempt(site)

    assert circuit(site) is None
    assert [attempts for _, attempts in states(site)] == [1] * COUNT


def test_study_that_is_refused_does_not_stop_the_others(site: Runtime, archive: Archive) -> None:
    archive.start().statuses = [0xC000] * 3

    attempt(site)

    assert [state for state, _ in states(site)] == ["refused"] + ["accepted"] * (COUNT - 1)


def test_paused_destination_is_not_asked(site: Runtime, archive: Archive) -> None:
    attempt(site)
    make_due(site)
    with site.database.writing() as session:
        now = database_time(session)
        pause(session, Paused.DESTINATION, "archive", reason="", paused_by="ann", at=now)
    archive.start()

    attempt(site)

    assert circuit(site) is Circuit.OPEN
    assert {state for state, _ in states(site)} == {"due"}


@pytest.mark.parametrize(
    "killed_at",
    [
        "probe",
        pytest.param("half open", marks=pytest.mark.long),
        pytest.param("sending", marks=pytest.mark.long),
    ],
)
def test_worker_killed_at_any_step_leaves_it_to_the_next(
    site: Runtime, archive: Archive, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    attempt(site)
    archive.start()
    make_due(site)

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    what = {
        "probe": "worker.deliver.probing.probe",
        "half open": "worker.runtime.claim",
        "sending": "worker.deliver.delivery.sender_for",
    }[killed_at]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(what, kill)
        attempt_delivery(site, 1)

    with site.database.writing() as session:
        later = datetime.now(UTC) + timedelta(hours=1)
        work.recover_lost(session, Delivery, maximum_attempts=9, at=later)
        session.execute(update(DestinationState).values(probe_expires_at=datetime.now(UTC)))
    attempt_all(site)
    assert {state for state, _ in states(site)} == {"accepted"}


def test_question_that_breaks_is_ended_and_asked_again(
    site: Runtime, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(site)
    archive.start()
    make_due(site)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("worker.deliver.probing.probe", broken)
        attempt_delivery(site, 1)
    assert circuit(site) is Circuit.OPEN

    attempt_all(site)
    assert {state for state, _ in states(site)} == {"accepted"}


def test_worker_that_is_told_to_end_leaves_its_question_to_another(
    site: Runtime, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(site)
    make_due(site)
    archive.start()

    def ends_meanwhile(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(site.lanes, "close", lambda _: [1])
        end_deliveries(site)

    with monkeypatch.context() as patch:
        patch.setattr("worker.deliver.probing.probe", ends_meanwhile)
        attempt_delivery(site, 1)

    assert [state for state, _ in states(site)] == ["due"] * COUNT
    assert circuit(site) is Circuit.OPEN
    attempt(site, 2)
    assert [state for state, _ in states(site)].count("accepted") == 1
