"""Heads over several views, and how they are compared with aggregated scores."""

import numpy as np
import pytest
import torch

from training.downstream.view_fusion import ConcatenatedViews, GatedViews
from training.examples.demonstration.view_fusion_comparison import (
    AGGREGATED,
    FUSIONS,
    Parts,
    Trial,
    answers_of,
    judged,
    over_patients,
)
from training.examples.demonstration.view_studies import OUTPUTS, Studies, Unit, gathered


def studies(count: int, seed: int) -> Studies:
    """Return studies whose breasts show a finding in one of their views, by its own channel."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((count, 4, len(OUTPUTS)), np.int64)
    labels[:, :, :2] = np.repeat(generator.integers(2, size=(count, 2, 2)), 2, axis=1)
    labels[:, :, 2] = generator.integers(4, size=(count, 1))
    features = generator.normal(0.0, 0.3, (count, 4, 6)).astype(np.float32)
    features[:, ::2, :2] += 4 * labels[:, ::2, :2]
    features[:, :, 2] += 3 * labels[:, :, 2]
    return Studies(features=features, labels=labels)


def test_breast_of_four_views_has_its_own_side_first() -> None:
    values = np.arange(4)[None, :, None]

    assert gathered(values, Unit.BREAST_OF_FOUR)[..., 0].tolist() == [[0, 1, 2, 3], [2, 3, 0, 1]]


def test_concatenated_head_weighs_each_view_by_itself() -> None:
    head = ConcatenatedViews(2, 2, 1)
    head.layer.weight.data = torch.tensor([[1.0, 0.0, 0.0, 10.0]])

    assert head(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])).item() == 41.0


def test_gated_head_without_attention_takes_the_mean_of_views() -> None:
    head = GatedViews(2, 2, 1)
    torch.nn.init.zeros_(head.attention.weight)
    head.layer.weight.data = torch.tensor([[1.0, 1.0]])

    assert head(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])).item() == pytest.approx(5.0)


def test_ways_that_see_a_plain_sign_all_find_it() -> None:
    parts = Parts(training=studies(60, 1), choice=studies(40, 2), test=studies(40, 3))

    found = answers_of(parts, seed=1)

    truth = parts.test.truth(Unit.BREAST)
    for way in (AGGREGATED, *FUSIONS):
        assert judged("mass", truth["mass"], found[Unit.BREAST, "mass", way]) > 0.9


def test_way_that_answers_alike_differs_by_nothing() -> None:
    test = studies(20, 3)
    scores = np.linspace(0.0, 1.0, 40)[:, None]
    found = {f"{Unit.BREAST}|mass|{way}": scores for way in ("gated", AGGREGATED)}
    trial = Trial(name="", pool=test, test=test, place=0)

    told = over_patients([trial], (Unit.BREAST, "mass", "gated"), [[found]])

    assert (told.value, told.low, told.high) == (0.0, 0.0, 0.0)
