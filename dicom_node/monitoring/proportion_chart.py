"""A CUSUM of a share, such as the flag rate, with a limit for a stated rate of false alarms.

The chart is the Bernoulli CUSUM of Reynolds and Stoumbos (J. Qual. Technol. 31, 1999). With the
reference share ``p0`` and a share ``p1`` that should be found, each study adds the logarithm of
its likelihood ratio, and the sum never falls below 0::

    S = max(0, S + x r2 - r1),  r1 = -ln((1-p1)/(1-p0)),  r2 = ln(p1(1-p0) / (p0(1-p1)))

``r1 / r2`` is brought to a fraction ``d / m``. Then S moves on whole numbers, ``m - d`` up for a
study that counts and ``d`` down for one that does not, and the mean number of studies until it
reaches a limit ``h`` is known exactly: the states below h are a Markov chain with a matrix Q of
transitions, and the expected run lengths are ``(I - Q)⁻¹ 1`` (Brook and Evans, Biometrika 59,
1972). No simulation and no approximation is in it.

The reference share itself is an estimate, k of n. So the limit is not that of ``p = k/n``: the
rate of false alarms, 1 / run length, is averaged over what p may be, on seven nodes of
Gauss-Hermite quadrature of ``logit(p)``, normal with the standard error ``1/sqrt(n p (1-p))``.

Example: k = 130 of n = 1000, an odds ratio of 2, 10 400 studies a year, 0.08 false alarms a year:
see `tests/unit/dicom_node/monitoring/test_proportion_chart.py`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_FINEST: Final = 24
"""Largest denominator of the fraction that r1 / r2 is brought to."""

_HIGHEST_LIMIT: Final = 1500
"""States of the chain, at most: a limit that needs more is not found."""

_NODES: Final = 7


@dataclass(frozen=True, slots=True)
class Steps:
    """How far the sum moves.

    Attributes
    ----------
    up : for a study that counts
    down : for one that does not
    """

    up: int
    down: int


def steps_for(reference: float, odds_ratio: float) -> Steps:
    """Return the steps of a chart for shares whose odds are so many times the reference's.

    Parameters
    ----------
    reference : share between 0 and 1
    odds_ratio : more than 1
        A chart for shares that fall counts what does not count, by the inverse share.
    """
    odds = odds_ratio * reference / (1 - reference)
    searched = odds / (1 + odds)
    down = -math.log((1 - searched) / (1 - reference))
    ratio = down / math.log(odds_ratio)
    best = min(
        ((max(round(ratio * m), 1), m) for m in range(2, _FINEST + 1)),
        key=lambda one: (abs(one[0] / one[1] - ratio), one[1]),
    )
    return Steps(up=best[1] - best[0], down=best[0])


@lru_cache(maxsize=4096)
def run_length(steps: Steps, limit: int, share: float) -> float:
    """Return the mean number of studies until the sum reaches a limit, from 0 on.

    Parameters
    ----------
    share : of studies that count
    """
    states = np.arange(limit)
    matrix: NDArray[np.float64] = np.eye(limit)
    np.add.at(matrix, (states, np.maximum(states - steps.down, 0)), -(1 - share))
    above = states + steps.up
    stays = above < limit
    np.add.at(matrix, (states[stays], above[stays]), -share)
    return float(np.linalg.solve(matrix, np.ones(limit))[0])


@lru_cache(maxsize=4096)
def limit_for(steps: Steps, count: int, of: int, false_alarms: float) -> int:
    """Return the lowest limit with no more than so many false alarms a study.

    Parameters
    ----------
    count, of : studies of the reference that count, and all of them
    false_alarms : a study; the inverse of a run length
    """
    shares = list(_possible_shares(count, of))

    def rate(limit: int) -> float:
        return sum(weight / run_length(steps, limit, share) for share, weight in shares)

    low, high = 1, 32
    while rate(high) > false_alarms and high < _HIGHEST_LIMIT:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rate(middle) > false_alarms else (low, middle)
    return high


def _possible_shares(count: int, of: int) -> Iterator[tuple[float, float]]:
    share = (count + 0.5) / (of + 1)
    middle, error = math.log(share / (1 - share)), 1 / math.sqrt(of * share * (1 - share))
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        yield 1 / (1 + math.exp(-(middle + error * float(node)))), float(weight)


@dataclass(slots=True)
class ProportionChart:
    """Watches whether a share has risen, or fallen.

    Parameters
    ----------
    count, of : studies of the reference that count, and all of them
    odds_ratio : how much larger (or smaller, if `falls`) the odds are that should be found
    false_alarms : a study
    falls : watch for a share that has fallen
    """

    count: int
    of: int
    odds_ratio: float
    false_alarms: float
    falls: bool = False
    sum: int = 0
    steps: Steps = field(init=False)
    limit: int = field(init=False)

    def __post_init__(self) -> None:
        counted = self.of - self.count if self.falls else self.count
        self.steps = steps_for((counted + 0.5) / (self.of + 1), self.odds_ratio)
        self.limit = limit_for(self.steps, counted, self.of, self.false_alarms)

    def add(self, counts: bool) -> bool:
        """Enter one study; return whether the limit is reached, from which the sum begins anew."""
        self.sum = max(self.sum + (self.steps.up if counts != self.falls else -self.steps.down), 0)
        if self.sum < self.limit:
            return False
        self.sum = 0
        return True
