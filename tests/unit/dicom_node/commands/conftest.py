"""What tests of commands share: an environment without settings, and logging as it was."""

import os
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ:
        if name.startswith("MAMMOCLIP_"):
            monkeypatch.delenv(name)
    yield
    structlog.reset_defaults()
