"""What the commands say where several nodes share a ledger."""

import json
from pathlib import Path

import pytest
from node_factory import STUDY_UID, Reception, mammogram, second_node
from typer.testing import CliRunner

from dicom_node.commands.node import app


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_commands_name_the_node_only_where_there_are_several(
    reception: Reception, tmp_path: Path
) -> None:
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(f'spool = "spool"\n[ledger]\nurl = "{url}"\n')

    def told(*command: str) -> str:
        return CliRunner().invoke(app, [*command, "--config", str(file)]).stdout

    reception.receive(mammogram())
    assert json.loads(told("studies", "--json"))["studies"][0]["node"] == ""
    assert "nodes share this ledger" not in told("check")
    other = second_node(reception, tmp_path / "other")
    other.receive(mammogram("CC"))

    (study,) = json.loads(told("studies", "--json"))["studies"]
    assert study["node"].endswith(f":{reception.spool.root}")
    instances = json.loads(told("show", STUDY_UID, "--json"))["instances"]
    assert [one["node"].rpartition("/")[2] for one in instances] == ["spool", "other"]
    assert "node" in told("studies").splitlines()[2]
    assert "2 nodes share this ledger" in told("check")
    assert "ok    ledger" in told("check")
    (reception.spool.root / "identity.key").unlink()
    assert "FAIL  ledger: identity.key in" in told("check")
