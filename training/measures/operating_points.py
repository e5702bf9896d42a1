"""Where to cut a score: the threshold that keeps a target sensitivity or specificity."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from training.measures.intervals import bootstrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold, and what it gives on the data it was chosen on, with 95 % intervals.

    Attributes
    ----------
    threshold : a score at or above it is reported
    sensitivity, specificity : 0 to 1
    sensitivity_interval, specificity_interval : low and high
        Of patients that are drawn again; Wilson's over the cases where no patients are known.
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


def at_threshold(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    patients: Sequence[object] | NDArray[np.generic] | None = None,
) -> Threshold:
    """Return what a given threshold gives on these data.

    Parameters
    ----------
    patients : (N,) whose case each is; None where that is not known

    Raises
    ------
    ValueError
        One of the two classes is absent.
    """
    truth, values = _checked(labels, scores, 1.0)
    names = None if patients is None else np.asarray(patients)
    hits, passes = values[truth] >= threshold, values[~truth] < threshold
    return Threshold(
        threshold=threshold,
        sensitivity=float(hits.mean()),
        specificity=float(passes.mean()),
        sensitivity_interval=_interval(hits, None if names is None else names[truth]),
        specificity_interval=_interval(passes, None if names is None else names[~truth]),
    )


def _count(share: float, size: int) -> int:
    # 0.95 of 20 is 19, and not 20 because 0.95 is not a binary number.
    return int(np.ceil(share * size - 1e-9))


def _interval(
    right: NDArray[np.bool_], patients: NDArray[np.generic] | None
) -> tuple[float, float]:
    """Return the interval of a share, as the other figures' where patients are known.

    Every draw repeats a share of all or nothing: it gets Wilson's interval of as many patients.
    """
    if patients is None:
        return _wilson(int(right.sum()), right.size)
    if right.all() or not right.any():
        count = np.unique(patients).size
        return _wilson(count if right.all() else 0, count)
    estimate = bootstrap(np.mean, right, groups=patients)
    return estimate.low, estimate.high


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
