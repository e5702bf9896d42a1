"""Scores into probabilities, and the threshold that keeps a target sensitivity or specificity."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit

from mammoclip_core.analysis.interpretation import SCORE_MARGIN, calibrated
from mammoclip_core.manifest import FindingEntry, OperatingPoint
from training.errors import SettingsError
from training.measures.operating_points import (
    Threshold,
    at_threshold,
    threshold_for_sensitivity,
    threshold_for_specificity,
)


class Method(StrEnum):
    """How scores become probabilities."""

    PLATT = "platt"
    """A logistic curve through the score's logit: two numbers, for few cases too."""

    ISOTONIC = "isotonic"
    """Any rising curve: for a thousand cases and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingTarget:
    """What the threshold is to keep; of both, one is given."""

    sensitivity: float | None = None
    specificity: float | None = None

    def __post_init__(self) -> None:
        given = [item for item in (self.sensitivity, self.specificity) if item is not None]
        if len(given) != 1 or not 0 < given[0] <= 1:
            raise SettingsError(
                "set either a target sensitivity or a target specificity, above 0 and at most 1"
            )


def platt(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Fit slope and intercept of a logistic curve through the logits of scores.

    A slope below 0 would turn the ranking round: it is kept at 0, which says the same of all.

    Parameters
    ----------
    labels : (N,) of 0 and 1
    scores : (N,) [0, 1]

    References
    ----------
    Platt 1999, section 2.2, with its targets that shun 0 and 1; Lin, Lin and Weng 2007,
    doi:10.1007/s10994-007-5018-6.
    """
    truth = np.asarray(labels, dtype=bool)
    values = logit(np.clip(np.asarray(scores, dtype=np.float64), SCORE_MARGIN, 1 - SCORE_MARGIN))
    positives, negatives = int(truth.sum()), int((~truth).sum())
    targets = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # Zero-shot scores lie within a thousandth of each other: the search needs a common scale.
    centre, spread = float(values.mean()), float(values.std()) or 1.0
    plain = (values - centre) / spread

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        inner = parameters[0] * plain + parameters[1]
        gap = expit(inner) - targets
        value = float(np.mean(np.logaddexp(0, inner) - targets * inner))
        return value, np.array([np.mean(gap * plain), np.mean(gap)])

    found = minimize(
        loss,
        np.array([1.0, float(logit(targets.mean()))]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None), (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-10, "maxiter": 1000},
    )
    slope = float(found.x[0]) / spread
    return slope, float(found.x[1]) - slope * centre


def isotonic(labels: ArrayLike, scores: ArrayLike) -> tuple[tuple[float, float], ...]:
    """Fit a rising curve as (score, probability) pairs, linear in between.

    Probabilities stay 1 / (N + 2) away from 0 and 1: N cases cannot exclude anything.

    References
    ----------
    Zadrozny and Elkan, KDD 2002, doi:10.1145/775047.775151.
    """
    from sklearn.isotonic import IsotonicRegression

    truth = np.asarray(labels, dtype=np.float64)
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    fitted.fit(np.asarray(scores, dtype=np.float64), truth)
    least = 1 / (len(truth) + 2)
    knots = [float(value) for value in fitted.X_thresholds_]
    values = [float(value) for value in np.clip(fitted.y_thresholds_, least, 1 - least)]
    return tuple(zip(knots, values, strict=True))


def temperature(labels: ArrayLike, shares: ArrayLike) -> float:
    """Fit what the logits of classes are divided by, so that shares become probabilities.

    Parameters
    ----------
    labels : (N,) classes, 0 to K - 1
    shares : (N, K) [0, 1]

    References
    ----------
    Guo et al., ICML 2017, section 4.2.
    """
    truth = np.asarray(labels, dtype=np.int64)
    logits = _log(np.asarray(shares, dtype=np.float64))

    def loss(exponent: float) -> float:
        said = log_softmax(logits / np.exp(exponent), axis=1)
        return -float(np.mean(said[np.arange(len(truth)), truth]))

    # Where the classes are apart, or nothing is told of them, no temperature is the best.
    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


def tempered(shares: NDArray[np.float64], divisor: float) -> NDArray[np.float64]:
    """Return shares of classes, (N, K), at a temperature."""
    probabilities: NDArray[np.float64] = np.exp(log_softmax(_log(shares) / divisor, axis=1))
    return probabilities


def calibrate_finding(
    entry: FindingEntry,
    labels: ArrayLike,
    scores: ArrayLike,
    target: OperatingTarget,
    *,
    data: str,
    patients: NDArray[np.str_] | None = None,
    domain: str = "",
    method: Method = Method.PLATT,
) -> tuple[FindingEntry, Threshold]:
    """Return a finding that answers with probabilities and cuts them at the target.

    Parameters
    ----------
    labels : (N,) of 0 and 1
    scores : (N,) [0, 1], before any calibration
    data : words
        What calibration and threshold were chosen on, and so measured on.
    patients : (N,) whose images they are, for the intervals; None where that is not known
    domain : ``mammograms``, ``phantoms`` or other words; empty if not known
        What the images are. Only of mammograms does a node call scores calibrated.

    Returns
    -------
    FindingEntry, Threshold
        The threshold lies in the middle between two neighbouring scores, so that other arithmetic
        cuts alike.

    Raises
    ------
    SettingsError
        Positives or negatives are missing.
    """
    truth = np.asarray(labels, dtype=bool)
    raw = np.asarray(scores, dtype=np.float64)
    require_both(entry.name, truth)
    bare = replace(
        entry, calibration=None, isotonic=(), operating_point=None, calibration_domain=domain
    )
    fitted = (
        replace(bare, calibration=platt(truth, raw))
        if method is Method.PLATT
        else replace(bare, isotonic=isotonic(truth, raw))
    )
    probabilities = calibrated_scores(raw, fitted)
    chosen = (
        threshold_for_sensitivity(truth, probabilities, target.sensitivity)
        if target.sensitivity is not None
        else threshold_for_specificity(truth, probabilities, target.specificity or 0.0)
    )
    point = at_threshold(truth, probabilities, _between(probabilities, chosen.threshold), patients)
    words = (
        f"{data}: {int(truth.sum())} of {len(truth)} positive; "
        f"95 % intervals{'' if patients is None else ' over patients'}: "
        f"sensitivity {_range(point.sensitivity_interval)}, "
        f"specificity {_range(point.specificity_interval)}"
    )
    known = OperatingPoint(sensitivity=point.sensitivity, specificity=point.specificity, data=words)
    return replace(fitted, threshold=point.threshold, operating_point=known), point


def require_both(name: str, labels: ArrayLike) -> None:
    """Refuse labels, (N,) of 0 and 1, of one kind: nothing can be calibrated; SettingsError."""
    truth = np.asarray(labels, dtype=bool)
    if truth.all() or not truth.any():
        kind = "negative" if truth.any() else "positive"
        raise SettingsError(
            f"{name}: none of the {len(truth)} images is {kind}; calibration needs both"
        )


def calibrated_scores(scores: NDArray[np.float64], entry: FindingEntry) -> NDArray[np.float64]:
    """Return scores, (N,), as a finding's calibration says them."""
    return np.array([calibrated(float(score), entry) for score in scores])


def _log(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = np.log(np.maximum(shares, np.finfo(np.float64).tiny))
    return logits


def _between(values: NDArray[np.float64], threshold: float) -> float:
    below, above = values[values < threshold], values[values >= threshold]
    low = float(below.max()) if below.size else 0.0
    high = float(above.min()) if above.size else 1.0
    middle = (low + high) / 2
    return middle if low < middle else high


def _range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2f}–{interval[1]:.2f}"
