"""Runs commands of mammoclip-predict."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mammoclip_core.commands.predict import app


@pytest.fixture
def run(random_bundle: Path) -> Any:
    """Run a command with a bundle of random weights named and accepted."""
    environment = {
        "MAMMOCLIP_BUNDLE": str(random_bundle),
        "MAMMOCLIP_ACCEPT": "Apache-2.0 demonstration use",
    }
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)), env=environment)
