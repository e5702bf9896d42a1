"""The demonstration bundle for tests, made once a session."""

import subprocess
from pathlib import Path

import pytest
from services import BIN


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "demonstration"
    command = [str(BIN / "mammoclip-predict"), "demonstration-bundle", "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder
