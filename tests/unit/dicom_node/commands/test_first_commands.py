"""What somebody types first: the version, and a file of settings to begin with."""

from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicom_node.commands.node import _spool_for, app


def test_version_is_that_of_the_installation() -> None:
    done = CliRunner().invoke(app, ["--version"])

    assert done.exit_code == 0
    assert version("mammoclip-dicom") in done.stdout


@pytest.mark.parametrize(
    ("settings", "spool"),
    [
        ("/etc/mammoclip/mammoclip.toml", "/var/lib/mammoclip/spool"),
        ("/home/anna/mammoclip.toml", "spool"),
    ],
)
def test_new_settings_keep_no_images_among_a_systems_settings(settings: str, spool: str) -> None:
    assert _spool_for(Path(settings)) == Path(spool)
