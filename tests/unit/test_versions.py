"""Each command says which version it is."""

import tomllib
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from dicom_node.commands.node import app as node
from mammoclip_core.commands.predict import app as predict
from training.commands.train import app as train

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
COMMANDS = {"mammoclip-node": node, "mammoclip-predict": predict, "mammoclip-train": train}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_prints_its_name_and_version_without_settings(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAMMOCLIP_CONFIG", raising=False)
    command: Typer = COMMANDS[name]
    version = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]

    result = CliRunner().invoke(command, ["--version"])

    assert (result.exit_code, result.output) == (0, f"{name} {version}\n")


def test_every_installed_command_is_asked() -> None:
    scripts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["scripts"]

    assert set(COMMANDS) == set(scripts)
