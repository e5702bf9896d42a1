"""Whether values are distributed as those of a reference: Kolmogorov and Smirnov, and PSI."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

PSI_LIMIT: Final = 0.2
"""Above it a distribution is called shifted, by custom of credit scoring (Siddiqi, 2006)."""

PSI_REFERENCE: Final = 1000
"""Values of a reference below which the PSI of two equal distributions is too often large."""

_BINS: Final = 10

Values = Sequence[float] | NDArray[np.float64]


def ks_distance(first: Values, second: Values) -> float:
    """Return the largest distance between two empirical distribution functions."""
    one, other = np.sort(first), np.sort(second)
    places = np.concatenate([one, other])
    below = np.searchsorted(one, places, side="right") / len(one)
    also = np.searchsorted(other, places, side="right") / len(other)
    return float(np.abs(below - also).max())


def ks_p_value(first: Values, second: Values) -> float:
    """Return how probable such a distance is if both are distributed alike.

    Kolmogorov's series ``2 Σ (-1)^(k-1) exp(-2 k² λ²)`` at ``λ = (√n + 0.12 + 0.11/√n) D`` with
    ``n = n1 n2 / (n1 + n2)`` (Stephens, JRSS B 32, 1970). Within 5 % of the exact value for 200
    values against 1000 down to 1e-4; ties make it larger than that.
    """
    size = len(first) * len(second) / (len(first) + len(second))
    root = math.sqrt(size)
    at = (root + 0.12 + 0.11 / root) * ks_distance(first, second)
    if at < 0.2:
        return 1.0
    terms = ((-1.0) ** (k - 1) * math.exp(-2 * k * k * at * at) for k in range(1, 101))
    return min(max(2 * math.fsum(terms), 0.0), 1.0)


def stability_index(reference: Values, values: Values) -> float:
    """Return the population stability index, ``Σ (q - p) ln(q / p)``, over ten bins.

    The bins are the tenths of the reference. Half a value is added to each, so that an empty one
    has a logarithm. If both are distributed alike, it is about ``χ²₉ (1/n1 + 1/n2)``: for 200
    values against 1000 it is above 0.2 in 1 of 8000 cases.
    """
    edges = np.quantile(reference, np.linspace(0, 1, _BINS + 1)[1:-1])
    shares = []
    for one in (reference, values):
        counts = np.bincount(np.searchsorted(edges, one, side="left"), minlength=_BINS)
        shares.append((counts + 0.5) / (len(one) + 0.5 * _BINS))
    before, after = shares
    return float(((after - before) * np.log(after / before)).sum())
