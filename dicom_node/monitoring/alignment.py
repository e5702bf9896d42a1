"""A threshold for a new scanner from its scores alone, without knowing who has a cancer.

The scores of the new equipment are brought to the scale of the reference by the monotone map that
makes both distributions equal, as Unsupervised Prediction Alignment does (Roschewitz et al., Nat.
Commun. 14, 2023): a score is replaced by the reference's at the same quantile. A threshold on the
aligned scores is then one on the new scores themselves: that at which as many are flagged as the
reference's threshold flags there. So no score is ever changed, and a threshold alone is proposed.

It assumes that both have the same share of women with a finding, and the same mix of others. If a
clinic sends its symptomatic women to the new scanner, the proposal hides their cancers. That is
why a person decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dicom_node.monitoring.intervals import Interval, wilson

MINIMUM: Final = 1000
"""Answers of the new equipment that a proposal rests on: with fewer, its flag rate is a guess."""

_HALF_A_SCORE: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A threshold for one finding on new equipment.

    Attributes
    ----------
    before, after : flagged answers of the new equipment by the present threshold and the proposed
    reference : flagged answers of the reference
    """

    finding: str
    threshold: float
    present: float
    answers: int
    before: int
    after: int
    reference_answers: int
    reference: int

    @property
    def intervals(self) -> tuple[Interval, Interval, Interval]:
        """Return 95 % intervals of the three flag rates: before, after, reference."""
        return (
            wilson(self.before, self.answers),
            wilson(self.after, self.answers),
            wilson(self.reference, self.reference_answers),
        )

    def in_words(self) -> str:
        """Say what is proposed, and what it would have done to the same answers."""
        before, after, reference = (
            f"{count / of:.1%} ({low:.1%} to {high:.1%})"
            for count, of, (low, high) in zip(
                (self.before, self.after, self.reference),
                (self.answers, self.answers, self.reference_answers),
                self.intervals,
                strict=True,
            )
        )
        return (
            f"{self.finding}: threshold {self.present:.4f} -> {self.threshold:.4f}; of "
            f"{self.answers} answers flagged {before} -> {after}; reference {reference}"
        )


def proposed_threshold(
    finding: str, scores: Sequence[float], reference: Sequence[float], present: float
) -> Proposal:
    """Return the threshold by which new equipment flags as large a share as the reference does.

    Parameters
    ----------
    scores : highest of each study, of the new equipment; at least `MINIMUM`
    reference : of the reference
    present : threshold that both have been judged by

    Raises
    ------
    ValueError
        There are too few of either.
    """
    if min(len(scores), len(reference)) < MINIMUM:
        raise ValueError(
            f"{finding}: {len(scores)} answers of this equipment and {len(reference)} of the "
            f"reference; a proposal needs {MINIMUM} of each"
        )
    new, old = np.sort(scores), np.asarray(reference)
    flagged = int((old >= present).sum())
    share = flagged / len(old)
    count = min(max(round(share * len(new)), 0), len(new))
    if count == 0:
        threshold = min(float(new[-1]) + _HALF_A_SCORE, 1.0)
    elif count == len(new):
        threshold = float(new[0])
    else:
        # Between the last score that is flagged and the first that is not.
        threshold = float((new[len(new) - count] + new[len(new) - count - 1]) / 2)
    return Proposal(
        finding=finding,
        threshold=threshold,
        present=present,
        answers=len(new),
        before=int((new >= present).sum()),
        after=int((new >= threshold).sum()),
        reference_answers=len(old),
        reference=flagged,
    )
