"""Scores in words and in percent, with as many digits as tell them from their threshold."""

from typing import Final

from mammoclip_core.findings import Finding, Region

_FEWEST: Final = 2
_MOST: Final = 8
_OF_PARAMETER: Final = 4

_ROUNDED: Final = 0.05
"""Share of a threshold by which it may be rounded: 0.005 is not 0.01."""


def score_text(finding: Finding, region: Region | None = None) -> str:
    """Return a score with what it is, and never as a probability without calibration.

    Parameters
    ----------
    region : one of the finding's, whose score it is; None for the finding's own
    """
    scored = finding if region is None else region
    digits = digits_of(scored.score, finding.threshold)
    return f"{'calibrated score' if scored.calibrated else 'score'} {scored.score:.{digits}f}"


def standing_text(finding: Finding) -> str:
    """Return a score with its side of the threshold, and the threshold where it is known."""
    side = "above" if finding.above_threshold else "below"
    threshold = finding.threshold
    if threshold is None:
        return f"{score_text(finding)}, {side} threshold"
    side = "at" if finding.score == threshold else side
    digits = digits_of(finding.score, threshold)
    return f"{score_text(finding)}, {side} threshold {threshold:.{digits}f}"


def region_score_text(finding: Finding, region: Region) -> str:
    """Return the score of a region, and that it is below the threshold where it is."""
    return f"{score_text(finding, region)}{'' if region.above_threshold else ', below threshold'}"


def percent_of(finding: Finding, region: Region | None = None) -> float:
    """Return a score as reports write it: 0 to 100, to one decimal unless more are needed."""
    score = finding.score if region is None else region.score
    return round(100.0 * score, max(1, digits_of(score, finding.threshold) - 2))


def threshold_text(threshold: float) -> str:
    """Name a threshold as a parameter of an algorithm, where there is room for more digits."""
    return f"threshold {threshold:.{max(_OF_PARAMETER, digits_of(threshold, threshold))}f}"


def digits_of(score: float, threshold: float | None) -> int:
    """Return how many decimals a score is written with.

    Two, or as many as leave the threshold what it is and tell a score from one that it is not.
    """
    if threshold is None:
        return _FEWEST
    for digits in range(_FEWEST, _MOST):
        is_told_apart = score == threshold or f"{score:.{digits}f}" != f"{threshold:.{digits}f}"
        if abs(round(threshold, digits) - threshold) <= _ROUNDED * threshold and is_told_apart:
            return digits
    return _MOST
