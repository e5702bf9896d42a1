"""Fixtures of the training tests: where the reference numbers lie."""

from pathlib import Path

import pytest
from reproducible_weights import FIXTURES


@pytest.fixture(scope="session")
def parity_fixtures() -> Path:
    """Folder of the numbers that the official code computed."""
    return FIXTURES
