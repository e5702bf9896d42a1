"""Distances of distributions: against scipy, and their rate of false alarms."""

import numpy as np
import pytest
from scipy import stats

from dicom_node.monitoring.distribution import ks_distance, ks_p_value, stability_index
from dicom_node.monitoring.intervals import poisson_rate, wilson


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_distance_and_probability_are_those_of_scipy(shift: float) -> None:
    random = np.random.default_rng(3)
    one, other = random.normal(size=1000), random.normal(shift, size=200)

    known = stats.ks_2samp(one, other)
    assert ks_distance(one, other) == pytest.approx(known.statistic)
    assert ks_p_value(one, other) == pytest.approx(known.pvalue, rel=0.1, abs=0.01)


def test_values_with_ties_are_no_more_often_called_different() -> None:
    random = np.random.default_rng(4)
    reference = np.round(random.normal(size=1000), 1)
    chances = [ks_p_value(reference, np.round(random.normal(size=200), 1)) for _ in range(300)]

    assert np.mean(np.array(chances) < 0.05) < 0.08


def test_stability_index_of_the_same_is_small_and_of_another_large() -> None:
    random = np.random.default_rng(5)
    reference = random.normal(size=1000)
    same = [stability_index(reference, random.normal(size=200)) for _ in range(200)]

    assert np.mean(same) == pytest.approx(9 * (1 / 200 + 1 / 1000), rel=0.15)
    assert np.max(same) < 0.2
    assert stability_index(reference, random.normal(0.6, size=200)) > 0.2


def test_intervals_are_those_of_textbooks() -> None:
    assert wilson(13, 100) == pytest.approx((0.0776, 0.2098), abs=5e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    exact = stats.chi2.ppf(0.025, 2 * 7) / 2, stats.chi2.ppf(0.975, 2 * 8) / 2
    assert poisson_rate(7, 1.0) == pytest.approx(exact, rel=0.01)
