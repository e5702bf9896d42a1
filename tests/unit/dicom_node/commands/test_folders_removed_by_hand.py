"""Somebody removed folders of the spool: commands say so, and end in no traceback."""

import shutil
from pathlib import Path

import pytest
from node_factory import STUDY_UID, Reception, mammogram
from typer.testing import CliRunner

from dicom_node.commands.node import app


@pytest.fixture
def config(tmp_path: Path, reception: Reception) -> Path:
    """Return the settings of an installation with one study, of which the files are gone."""
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(f'spool = "{reception.spool.root}"\n[ledger]\nurl = "{url}"\n')
    reception.receive(mammogram())
    for folder in reception.spool.root.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    return file


@pytest.mark.parametrize(
    "command", ["studies", f"show {STUDY_UID}", f"why {STUDY_UID}", f"retry {STUDY_UID}", "check"]
)
def test_command_that_finds_a_folder_removed_says_so(config: Path, command: str) -> None:
    said = CliRunner().invoke(app, [*command.split(), "--config", str(config)])

    assert said.exit_code in {0, 1, 2}
    assert said.exception is None or isinstance(said.exception, SystemExit)
    assert "Traceback" not in said.stdout + said.stderr
    assert "FileNotFoundError" not in said.stdout + said.stderr


def test_folder_of_a_study_that_was_removed_is_not_rendered(config: Path, tmp_path: Path) -> None:
    gone = tmp_path / "spool" / "studies" / "1"

    said = CliRunner().invoke(
        app, ["render", str(gone), "--out", str(tmp_path / "out"), "--config", str(config)]
    )

    assert said.exit_code == 1
    (line,) = said.stderr.splitlines()
    assert f"there is no folder {gone}" in line
    assert "fetch the study from an archive" in line
