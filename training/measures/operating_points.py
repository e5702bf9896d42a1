"""Where to cut a score: the threshold that keeps a target sensitivity or specificity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold, and what it gives on the data it was chosen on, with 95 % intervals.

    Attributes
    ----------
    threshold : a score at or above it is reported
    sensitivity, specificity : 0 to 1
    sensitivity_interval, specificity_interval : Wilson's, low and high
    """

    threshold: float
    sensitivity: float
    specificity: float
    sensitivity_interval: tuple[float, float]
    specificity_interval: tuple[float, float]


def threshold_for_sensitivity(labels: ArrayLike, scores: ArrayLike, target: float) -> Threshold:
    """Return the highest threshold that still finds the target share of the positives.

    Raises
    ------
    ValueError
        The share is not above 0 and at most 1, or one of the two classes is absent.
    """
    truth, values = _checked(labels, scores, target)
    found = np.sort(values[truth])[::-1]
    return at_threshold(truth, values, float(found[_count(target, found.size) - 1]))


def threshold_for_specificity(labels: ArrayLike, scores: ArrayLike, target: float) -> Threshold:
    """Return the lowest threshold that leaves at least the target share of negatives below it.

    Raises
    ------
    ValueError
        The share is not above 0 and at most 1, or one of the two classes is absent.
    """
    truth, values = _checked(labels, scores, target)
    passed = np.sort(values[~truth])
    highest = passed[_count(target, passed.size) - 1]
    return at_threshold(truth, values, float(np.nextafter(highest, np.inf)))


def at_threshold(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Threshold:
    """Return what a given threshold gives on these data.

    Raises
    ------
    ValueError
        One of the two classes is absent.
    """
    truth, values = _checked(labels, scores, 1.0)
    hits = int((values[truth] >= threshold).sum())
    passes = int((values[~truth] < threshold).sum())
    positives, negatives = int(truth.sum()), int((~truth).sum())
    return Threshold(
        threshold=threshold,
        sensitivity=hits / positives,
        specificity=passes / negatives,
        sensitivity_interval=_wilson(hits, positives),
        specificity_interval=_wilson(passes, negatives),
    )


def _count(share: float, size: int) -> int:
    # 0.95 of 20 is 19, and not 20 because 0.95 is not a binary number.
    return int(np.ceil(share * size - 1e-9))


def _wilson(count: int, size: int) -> tuple[float, float]:
    interval = binomtest(count, size).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _checked(labels: ArrayLike, scores: ArrayLike, target: float) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(labels, dtype=bool)
    values = np.asarray(scores, dtype=np.float64)
    if not 0 < target <= 1:
        raise ValueError(f"the target is {target}; set one above 0 and at most 1")
    if truth.all() or not truth.any():
        raise ValueError("an operating point needs positives and negatives")
    return truth, values
