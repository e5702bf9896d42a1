"""Fixtures of the training tests: where the reference numbers lie."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def parity_fixtures(test_data: Path) -> Path:
    """Folder of the reference numbers of the official code, beside the test mammograms."""
    return test_data.parent / "fixtures" / "mammo_clip"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the test mammograms."""
    folder = os.environ.get("MAMMOCLIP_TEST_DATA")
    if folder:
        return Path(folder)
    reason = "MAMMOCLIP_TEST_DATA does not name the folder of the test mammograms"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
