"""Figures of several seeds: one row each, with what other seeds would change."""

import pytest

from training.examples.demonstration.figures_over_seeds import table_over_seeds
from training.examples.demonstration.model_card import model_card
from training.measures.figures import Figure
from training.measures.intervals import Estimate


def figure(seed: int, value: float, setting: str = "multi-view supervision") -> Figure:
    return Figure(
        task=f"varied phantoms of seed {seed}, mass",
        setting=setting,
        measure="AUROC",
        honest=Estimate(value=value, low=0.0, high=1.0, cases=8),
    )


def test_row_has_the_mean_and_students_interval_over_seeds() -> None:
    row = table_over_seeds([figure(1, 0.8), figure(2, 0.9), figure(3, 1.0)])[-1]

    # 4.303 is Student's quantile of two degrees of freedom; the standard error is 0.1 / sqrt(3)
    reach = 4.3027 * 0.1 / 3**0.5
    told = f"0.900 ({0.9 - reach:.3f} to {0.9 + reach:.3f})"
    assert row == f"| varied phantoms, mass | multi-view supervision | AUROC | {told} | 3 |"


def test_models_stand_apart() -> None:
    both = [figure(seed, 0.5 + seed / 10, way) for seed in (1, 2) for way in ("one", "other")]

    rows = table_over_seeds(both)[2:]

    assert [row.split(" | ")[1] for row in rows] == ["one", "other"]


@pytest.mark.parametrize(
    "figures", [[], [figure(1, 0.8)], [figure(1, 0.8), figure(2, float("nan"))]]
)
def test_one_seed_has_no_table(figures: list[Figure]) -> None:
    assert table_over_seeds(figures) == []


def test_card_has_the_means_before_the_figures_of_each_seed() -> None:
    card = model_card([figure(1, 0.8), figure(2, 0.9)], {}, "")

    assert card.index("| varied phantoms, mass |") < card.index("of seed 1,")
