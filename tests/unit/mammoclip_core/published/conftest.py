"""A published checkpoint of random weights, and the converter on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_factory import (
    State,
    pretraining_state,
    tokenizer,
    vocabulary_size,
    write_pretraining,
)

from mammoclip_core.manifest import Manifest
from mammoclip_core.published.convert import convert

Convert = Callable[..., Manifest]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenizer(tmp_path_factory.mktemp("words") / "tokenizer")


@pytest.fixture(scope="module")
def published(words: Path) -> State:
    return pretraining_state(vocabulary_size(words))


@pytest.fixture
def converted(tmp_path: Path, words: Path) -> Convert:
    """Write a state as a checkpoint and convert it to ``bundle`` in the test's folder."""

    def run(state: State, config: Any = None, **options: Any) -> Manifest:
        checkpoint = write_pretraining(tmp_path / "checkpoint.tar", state, config)
        return convert(checkpoint, str(words), tmp_path / "bundle", **options)

    return run
