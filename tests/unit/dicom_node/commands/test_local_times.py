"""What people read is in the time of their clock; what programs read, in that of the ledger."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from node_factory import (
    STUDY_UID,
    Reception,
    analysis_row,
    finished,
    made_result,
    mammogram,
)
from sqlalchemy import update
from typer.testing import CliRunner

from dicom_node.commands.local_times import local_time
from dicom_node.commands.node import app
from dicom_node.studies.ledger.states import StudyState
from dicom_node.studies.ledger.tables import Study

NOON = datetime(2026, 3, 1, 12, 0, 5, 678_000, tzinfo=UTC)


@pytest.fixture(autouse=True)
def in_kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the machine stand in India, five and a half hours ahead."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def config(tmp_path: Path, reception: Reception) -> Path:
    """Return the settings of an installation with a study that came at noon of Greenwich."""
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(f'spool = "spool"\n[ledger]\nurl = "{url}"\n')
    reception.receive(mammogram())
    reception.receive(b"garbage", calling_ae_title="ROOM7")
    with reception.database.writing() as session:
        values = {"state": StudyState.SETTLED, "revision": 1, "last_received_at": NOON}
        session.execute(update(Study).values(**values))
        analysis = analysis_row(session, session.get_one(Study, 1))
        finished(session, analysis, made_result())
        analysis.findings = None
    return file


@pytest.mark.parametrize("at", [NOON, NOON.isoformat(), "2026-03-01T14:00:05.678+02:00"])
def test_instant_is_told_by_the_clock_of_the_machine(at: datetime | str) -> None:
    assert local_time(at) == "2026-03-01 17:30:05 IST"
    assert local_time(at, milliseconds=True) == "2026-03-01 17:30:05.678 IST"


def test_instant_that_is_none_is_told_by_nothing() -> None:
    assert local_time(None) == local_time("") == ""


@pytest.mark.parametrize("command", ["studies", f"show {STUDY_UID}", f"why {STUDY_UID}"])
def test_commands_tell_times_by_the_clock_of_the_machine(config: Path, command: str) -> None:
    said = CliRunner(env={"COLUMNS": "400"}).invoke(
        app, [*command.split(), "--config", str(config)]
    )

    assert said.exit_code == 0, said.stderr
    assert "2026-03-01 17:30:05 IST" in said.stdout
    assert "+00:00" not in said.stdout
    assert "12:00:05" not in said.stdout


def test_programs_are_told_times_of_the_ledger(config: Path) -> None:
    said = CliRunner().invoke(app, ["studies", "--json", "--config", str(config)])

    (study,) = json.loads(said.stdout)["studies"]
    assert datetime.fromisoformat(study["last_received_at"]) == NOON.replace(microsecond=0)
