"""What the node does with the answers of its ledger: alarms once, results held, people told."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any

import pytest
from node_factory import Reception, analysis_row, delivery_row, study_row
from noted_year import enter_notes
from sqlalchemy import update

from dicom_node.drift.channels import Channels
from dicom_node.drift.rounds import DriftRounds
from dicom_node.monitoring.alarms import Kind
from dicom_node.monitoring.observation import Observation
from dicom_node.monitoring.simulated_year import START, Change, Plan, observations
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.due_work import due
from dicom_node.studies.ledger.due.pauses import Holds, Paused, pauses, resume
from dicom_node.studies.ledger.monitoring.alarm_book import reset_reference
from dicom_node.studies.ledger.monitoring.tables import Alert, DriftAlarm
from dicom_node.studies.ledger.queries.reading import summaries
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Delivery

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

UPDATE = Change(week=6, flag_rate=0.5, software="2.0")


def seen(weeks: int, change: Change | None = None, scanner: str = "A") -> Iterator[Observation]:
    until = START + timedelta(weeks=weeks)
    return takewhile(
        lambda one: one.at < until, observations(Plan(scanner=scanner, change=change), seed=5)
    )


@pytest.fixture
def rounds_with(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., DriftRounds]:
    """Return the rounds of a node on whose clock it is some week of the simulated year."""

    def build(*, weeks: float, **settings: Any) -> DriftRounds:
        now = START + timedelta(weeks=weeks)
        monkeypatch.setattr(Database, "now", lambda _: now)
        known = Settings(spool=reception.spool.root, **settings)
        return DriftRounds(settings=known, database=reception.database, zone=UTC)

    return build


def kinds(reception: Reception) -> list[str]:
    return [row.kind for row in reception.rows(DriftAlarm)]


def test_update_is_told_once_however_often_it_is_looked_at(
    reception: Reception, rounds_with: Callable[..., DriftRounds]
) -> None:
    enter_notes(reception.database, seen(7, UPDATE))
    rounds = rounds_with(weeks=7 - 2.5 / 7)

    assert rounds.step() > 0
    found = kinds(reception)
    assert rounds.step() == 0
    assert rounds_with(weeks=7 - 2.5 / 7).step() == 0, "nor after a restart"

    assert found == kinds(reception)
    assert {Kind.NEW_SOFTWARE.value, Kind.FLAG_RATE_ROSE.value} <= set(found)


def test_answers_that_come_later_are_looked_at_without_the_others(
    reception: Reception, rounds_with: Callable[..., DriftRounds]
) -> None:
    enter_notes(reception.database, seen(6))
    rounds = rounds_with(weeks=6)
    rounds.step()
    before = rounds.watches["Maker Model A"]
    after = islice((one for one in seen(7, UPDATE) if one.at >= UPDATE.at), 120)

    enter_notes(reception.database, after)
    rounds.step()

    assert rounds.watches["Maker Model A"] is before
    assert Kind.FLAG_RATE_ROSE.value in kinds(reception)


def test_silent_scanner_is_told(
    reception: Reception, rounds_with: Callable[..., DriftRounds]
) -> None:
    enter_notes(reception.database, seen(6))

    rounds_with(weeks=6, monitoring={"silence": False}).step()
    assert Kind.SILENCE.value not in kinds(reception)
    rounds_with(weeks=6 + 0.5 / 7).step()
    assert Kind.SILENCE.value in kinds(reception)


def test_new_reference_ends_the_alarms_of_the_old_one(
    reception: Reception, rounds_with: Callable[..., DriftRounds]
) -> None:
    enter_notes(reception.database, seen(13, UPDATE))
    with reception.database.writing() as session:
        reset_reference(
            session, "Maker Model A", reason="new software", decided_by="anna", at=UPDATE.at
        )

    rounds_with(weeks=13 - 2.5 / 7).step()

    assert set(kinds(reception)) <= {
        Kind.NEW_SCANNER.value,
        Kind.NEW_SOFTWARE.value,
        Kind.SILENCE.value,
    }


def test_stop_rule_holds_results_until_a_person_resumes(
    reception: Reception, rounds_with: Callable[..., DriftRounds]
) -> None:
    enter_notes(reception.database, seen(7, UPDATE))
    with reception.database.writing() as session:
        done = analysis_row(session, study_row(session, "1.9"), id=10**6, state=AnalysisState.DONE)
        delivery_row(session, done)
    rounds = rounds_with(weeks=7 - 2.5 / 7, monitoring={"stop_when": "flag_rate > 0.25 for 2 days"})

    rounds.step()

    with reception.database.reading() as session:
        (held,) = pauses(session)
        assert (held.kind, held.paused_by) == (Paused.RESULTS, "the stop rule")
        holds = Holds(pauses=(held,))
        assert due(session, Delivery, at=datetime.now(UTC), holds=holds) == []
        conditions = {one.study_instance_uid: one for one in summaries(session, limit=1)}
    assert conditions["1.9"].condition == "held"
    assert "flag_rate > 0.25 for 2 days" in conditions["1.9"].reason
    assert "stop-rule" in (reception.spool.root / "audit.jsonl").read_text()

    with reception.database.writing() as session:
        resume(session, Paused.RESULTS, "", at=datetime.now(UTC))
    rounds.step()
    with reception.database.reading() as session:
        assert pauses(session) == (), "the same days are no reason to hold again"


def test_no_stop_rule_holds_nothing(
    reception: Reception, rounds_with: Callable[..., DriftRounds]
) -> None:
    enter_notes(reception.database, seen(7, UPDATE))

    rounds_with(weeks=7 - 2.5 / 7).step()

    with reception.database.reading() as session:
        assert pauses(session) == ()


@dataclass
class Hook:
    """A web server that keeps what it is posted, and answers what a test wants."""

    status: int = 200
    location: str = ""
    posted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                sent = json.loads(self.rfile.read(length))
                hook.posted.append((self.headers.get("Authorization", ""), sent))
                self.send_response(hook.status)
                if hook.location:
                    self.send_header("Location", hook.location)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


def test_alarm_is_posted_once_and_again_until_it_is_taken(
    reception: Reception, rounds_with: Callable[..., DriftRounds], hook: Hook
) -> None:
    enter_notes(reception.database, seen(1))
    rounds = rounds_with(weeks=1, alerts={"webhook_url": hook.url, "webhook_token": "secret"})
    channels = Channels(rounds.settings, reception.database)
    rounds.step()

    hook.status = 503
    assert channels.step() == 0
    (waiting,) = reception.rows(Alert)
    assert (waiting.attempts, "503" in waiting.reason, waiting.sent_at) == (1, True, None)
    hook.status = 200
    with reception.database.writing() as session:
        session.execute(update(Alert).values(due_at=START))
    assert (channels.step(), channels.step()) == (1, 0)

    authorization, sent = hook.posted[-1]
    assert (authorization, len(hook.posted)) == ("Bearer secret", 2)
    assert "new-scanner Maker Model A" in sent["subject"]


def test_webhook_that_leads_elsewhere_is_not_followed(
    reception: Reception, rounds_with: Callable[..., DriftRounds], hook: Hook
) -> None:
    enter_notes(reception.database, seen(1))
    elsewhere = Hook()
    hook.status, hook.location = 302, elsewhere.url
    rounds = rounds_with(weeks=1, alerts={"webhook_url": hook.url})
    rounds.step()

    taken = Channels(rounds.settings, reception.database).step()
    elsewhere.close()

    assert (taken, elsewhere.posted) == (0, [])
