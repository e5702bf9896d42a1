"""How answers compare with what readers or pathology have said, where that is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_node.monitoring.intervals import Z_95, Interval, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share with its 95 % interval (Wilson)."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """Return the share; None of nothing."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> Interval:
        """Return its 95 % interval."""
        return wilson(self.count, self.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Answers against truth.

    Attributes
    ----------
    detection : of 1, not of 1000
    auc : None without both kinds of study
    expected_to_observed : sum of scores over cancers; None without a cancer
    brier : mean squared difference of score and truth
    """

    sensitivity: Share
    specificity: Share
    predictive_value: Share
    recall: Share
    detection: Share
    auc: float | None
    expected_to_observed: float | None
    brier: float


def agreement(flagged: Sequence[bool], scores: Sequence[float], truth: Sequence[bool]) -> Agreement:
    """Compare answers with truth, study by study.

    Raises
    ------
    ValueError
        There is nothing to compare, or the lengths differ.
    """
    if not truth or not len(flagged) == len(scores) == len(truth):
        raise ValueError("flagged, scores and truth must be of one length, and not empty")
    flags, values, is_ill = np.array(flagged), np.array(scores, dtype=float), np.array(truth)
    hits, ill, called = int((flags & is_ill).sum()), int(is_ill.sum()), int(flags.sum())
    well = len(truth) - ill
    return Agreement(
        sensitivity=Share(count=hits, of=ill),
        specificity=Share(count=int((~flags & ~is_ill).sum()), of=well),
        predictive_value=Share(count=hits, of=called),
        recall=Share(count=called, of=len(truth)),
        detection=Share(count=hits, of=len(truth)),
        auc=_auc(values, is_ill),
        expected_to_observed=float(values.sum()) / ill if ill else None,
        brier=float(((values - is_ill) ** 2).mean()),
    )


def auc_interval(auc: float, ill: int, well: int) -> Interval:
    """Return the 95 % interval of an AUC (Hanley and McNeil, Radiology 143, 1982).

    ``SE² = (A(1-A) + (n₁-1)(Q₁-A²) + (n₂-1)(Q₂-A²)) / n₁n₂`` with ``Q₁ = A/(2-A)`` and
    ``Q₂ = 2A²/(1+A)``.

    Parameters
    ----------
    ill, well : number of studies of each kind, both at least 1
    """
    of_ill, of_well = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (ill - 1) * (of_ill - auc**2) + (well - 1) * (of_well - auc**2)
    error = math.sqrt((auc * (1 - auc) + spread) / (ill * well))
    return max(auc - Z_95 * error, 0.0), min(auc + Z_95 * error, 1.0)


def _auc(values: NDArray[np.float64], is_ill: NDArray[np.bool_]) -> float | None:
    """Return Mann and Whitney's share of pairs that are in order; equal scores count half."""
    ill, well = values[is_ill], np.sort(values[~is_ill])
    if not len(ill) or not len(well):
        return None
    below = np.searchsorted(well, ill, side="left")
    upto = np.searchsorted(well, ill, side="right")
    return float((below + upto).sum() / 2 / (len(ill) * len(well)))
