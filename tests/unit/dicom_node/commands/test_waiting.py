"""Objects that were answered 0x0000 and are not in the ledger yet are known to the commands."""

import json
import os
from pathlib import Path

import pytest
from node_factory import STUDY_UID, Reception, analysis_row, mammogram, put
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.studies.ledger.tables import Study


@pytest.fixture
def config(tmp_path: Path, reception: Reception, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("MAMMOCLIP_"):
            monkeypatch.delenv(name)
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(f'spool = "{reception.spool.root}"\n[ledger]\nurl = "{url}"\n')
    return file


@pytest.mark.parametrize("command", ["show", "cancel", "retry"])
def test_study_that_is_not_registered_yet_may_be_among_what_waits(
    config: Path, reception: Reception, command: str
) -> None:
    put(reception.spool, mammogram())
    put(reception.spool, mammogram())

    result = CliRunner().invoke(app, [command, STUDY_UID, "--config", str(config)])

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"mammoclip-node: study {STUDY_UID} is not in the ledger")
    assert "2 received objects are not registered yet, the oldest from 20" in line


def test_studies_count_what_waits(config: Path, reception: Reception) -> None:
    first = put(reception.spool, mammogram())

    table = CliRunner().invoke(app, ["studies", "--config", str(config)])
    document = CliRunner().invoke(app, ["studies", "--json", "--config", str(config)])

    assert "1 received object is not registered yet" in table.stdout
    assert json.loads(document.stdout)["waiting"] == {
        "objects": 1,
        "oldest_received_at": first.received_at.isoformat(timespec="seconds"),
    }


def test_nothing_is_said_where_nothing_waits(config: Path, reception: Reception) -> None:
    reception.receive(mammogram())

    table = CliRunner().invoke(app, ["studies", "--config", str(config)])
    unknown = CliRunner().invoke(app, ["show", "9.9", "--config", str(config)])

    assert "registered" not in table.stdout
    assert "registered" not in unknown.stderr


def test_study_in_part_is_shown_and_cancelled_with_what_waits(
    config: Path, reception: Reception
) -> None:
    reception.receive(mammogram())
    with reception.database.writing() as session:
        study = session.get_one(Study, 1)
        analysis_row(session, study)
    put(reception.spool, mammogram())

    shown = CliRunner().invoke(app, ["show", STUDY_UID, "--config", str(config)])
    cancelled = CliRunner().invoke(app, ["cancel", STUDY_UID, "--config", str(config)])

    assert "1 received object is not registered yet" in shown.stdout
    assert "analysis of revision 1 is cancelled" in cancelled.stdout
    assert "1 received object is not registered yet" in cancelled.stderr
