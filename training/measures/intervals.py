"""Intervals around a figure: patients, not images, are drawn again and again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

REPEATS: Final = 1000
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure and its interval.

    Attributes
    ----------
    value : float
        NaN where it cannot be computed, as the AUROC without a positive.
    low, high : float
        Percentiles of the bootstrap; NaN where fewer than half of the draws have a figure.
    cases : rows it was computed on
    """

    value: float
    low: float
    high: float
    cases: int

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "–"
        if np.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


def bootstrap(
    measure: Callable[..., float],
    *columns: ArrayLike,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
    repeats: int = REPEATS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Return a measure of the columns with its percentile interval.

    Images of one patient resemble each other: to draw them singly makes intervals too narrow.
    So whole groups are drawn, with replacement.

    Parameters
    ----------
    measure : takes the columns' rows, gives a figure or NaN
    columns : arrays of equal length N along axis 0
    groups : N names of patients; every row its own group if None

    Raises
    ------
    ValueError
        Columns or groups differ in length.
    """
    arrays = [np.asarray(column) for column in columns]
    cases = len(arrays[0])
    names = np.arange(cases) if groups is None else np.asarray(groups)
    if any(len(array) != cases for array in arrays) or len(names) != cases:
        raise ValueError(f"columns of {[len(a) for a in arrays]} rows, groups of {len(names)}")
    value = measure(*arrays) if cases else float("nan")
    if cases == 0:
        return Estimate(value=value, low=float("nan"), high=float("nan"), cases=0)
    _, code = np.unique(names, return_inverse=True)
    order = np.argsort(code, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(code))[:-1])
    generator = np.random.default_rng(seed)
    drawn = np.empty(repeats)
    for index in range(repeats):
        chosen = generator.integers(len(rows_of), size=len(rows_of))
        rows = np.concatenate([rows_of[one] for one in chosen])
        drawn[index] = measure(*(array[rows] for array in arrays))
    valid = drawn[~np.isnan(drawn)]
    if valid.size * 2 < repeats:
        return Estimate(value=value, low=float("nan"), high=float("nan"), cases=cases)
    tail = (1 - confidence) / 2
    low, high = np.quantile(valid, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high), cases=cases)
