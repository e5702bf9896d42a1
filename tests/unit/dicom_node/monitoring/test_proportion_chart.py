"""Limits of the chart of shares: exact run lengths, and false alarms no more often than stated."""

import math

import numpy as np
import pytest

from dicom_node.monitoring.proportion_chart import (
    ProportionChart,
    Steps,
    limit_for,
    run_length,
    steps_for,
)

YEARLY = 10_400


def test_steps_are_the_fraction_of_the_likelihood_ratio() -> None:
    steps = steps_for(0.13, 2.0)

    odds = 2 * 0.13 / 0.87
    searched = odds / (1 + odds)
    wanted = -math.log((1 - searched) / 0.87) / math.log(2)
    assert steps.down / (steps.up + steps.down) == pytest.approx(wanted, abs=0.003)


def test_run_length_of_a_limit_of_one_hit_is_that_of_the_first_hit() -> None:
    assert run_length(Steps(up=5, down=1), 5, 0.2) == pytest.approx(5.0)


def test_run_length_is_that_of_simulated_charts() -> None:
    steps, limit, share = Steps(up=5, down=1), 18, 0.2
    random = np.random.default_rng(1)
    lengths = []
    for _ in range(2000):
        value = length = 0
        while value < limit:
            value = max(value + (steps.up if random.random() < share else -steps.down), 0)
            length += 1
        lengths.append(length)

    error = np.std(lengths) / math.sqrt(len(lengths))
    assert run_length(steps, limit, share) == pytest.approx(np.mean(lengths), abs=float(4 * error))


def test_limit_is_the_lowest_that_keeps_the_rate_of_false_alarms() -> None:
    steps, wanted = steps_for(0.13, 2.5), 0.12 / YEARLY
    known = limit_for(steps, 13_000_000, 100_000_000, wanted)

    assert 1 / run_length(steps, known, 0.13) <= wanted < 1 / run_length(steps, known - 1, 0.13)


def test_reference_that_is_itself_a_guess_has_a_higher_limit() -> None:
    steps, wanted = steps_for(0.13, 2.5), 0.12 / YEARLY

    assert limit_for(steps, 26, 200, wanted) > limit_for(steps, 1300, 10_000, wanted)


@pytest.mark.parametrize(("share", "within"), [(0.30, 200), (0.48, 80)])
def test_chart_finds_a_risen_flag_rate_in_time(share: float, within: int) -> None:
    random = np.random.default_rng(7)
    found = 0
    for _ in range(200):
        chart = ProportionChart(130, 1000, 2.5, 0.12 / YEARLY)
        found += any(chart.add(bool(one)) for one in random.random(within) < share)

    assert found >= 190, "19 of 20"


def test_chart_of_falling_shares_ignores_one_that_rises() -> None:
    chart = ProportionChart(130, 1000, 2.5, 0.03 / YEARLY, falls=True)

    assert not any(chart.add(True) for _ in range(5000))
    assert any(chart.add(False) for _ in range(200))


def test_reference_without_any_hit_has_a_limit() -> None:
    chart = ProportionChart(0, 1000, 4.0, 0.03 / YEARLY)

    assert any(chart.add(True) for _ in range(20))
