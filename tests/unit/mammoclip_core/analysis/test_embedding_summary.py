"""The numbers that stand for a study's embeddings: few, the same each time, moved by a change."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mammoclip_core.analysis.embedding_summary import NUMBERS, summarised


def embedding(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=512).astype(np.float32)


def test_summary_does_not_depend_on_the_lengths_of_embeddings() -> None:
    found = summarised([embedding(1), 7 * embedding(2)])

    assert len(found) == NUMBERS
    assert found == pytest.approx(summarised([3 * embedding(1), embedding(2)]), abs=1e-5)


def test_length_of_a_summary_is_at_most_that_of_the_mean() -> None:
    assert 0 < np.linalg.norm(summarised([embedding(1)])) <= 1


def test_images_without_embedding_have_no_summary() -> None:
    assert summarised([None, None]) == ()
    assert summarised([np.zeros(8, np.float32)]) == ()
    assert summarised([embedding(1), np.ones(3, np.float32)]) == ()
