"""What every test of the result objects stands on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pydicom.config
import pytest


@pytest.fixture(autouse=True)
def misspelt_keywords_are_errors() -> Iterator[None]:
    before = pydicom.config.INVALID_KEYWORD_BEHAVIOR
    pydicom.config.INVALID_KEYWORD_BEHAVIOR = "RAISE"
    yield
    pydicom.config.INVALID_KEYWORD_BEHAVIOR = before


@pytest.fixture
def open_mammograms() -> Path:
    """Return the folder of real mammograms that may be shipped."""
    folder = os.environ.get("MAMMOCLIP_TEST_DATA")
    if folder is None:
        assert os.environ.get("CI") != "true", "MAMMOCLIP_TEST_DATA names no folder"
        pytest.skip("MAMMOCLIP_TEST_DATA names no folder of mammograms")
    return Path(folder) / "open"
