"""A bundle of random weights for tests, made once a session."""

from pathlib import Path

import pytest
from random_bundle import make_random_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    make_random_bundle(folder)
    return folder
