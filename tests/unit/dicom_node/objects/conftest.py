"""What every test of the result objects stands on."""

from collections.abc import Iterator

import pydicom.config
import pytest


@pytest.fixture(autouse=True)
def misspelt_keywords_are_errors() -> Iterator[None]:
    before = pydicom.config.INVALID_KEYWORD_BEHAVIOR
    pydicom.config.INVALID_KEYWORD_BEHAVIOR = "RAISE"
    yield
    pydicom.config.INVALID_KEYWORD_BEHAVIOR = before
