"""Judges answers by what turned out to be true of them: agreement by a rule, and calibration."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from dicom_node.monitoring.agreement import Share, agreement
from dicom_node.monitoring.alarms import Alarm, Kind
from dicom_node.monitoring.intervals import poisson_rate
from dicom_node.monitoring.stop_rule import LEAST_ANSWERS, StopRule
from dicom_node.studies.ledger.monitoring.truths import KnownAnswer

CALIBRATED_WITHIN: Final = (0.8, 1.25)
"""Expected over observed cancers that needs no look."""

LOOKED_BACK: Final = timedelta(days=365)
NODE: Final = "all scanners"


def calibration_alarm(answers: Sequence[KnownAnswer], *, now: datetime) -> Alarm | None:
    """Return an alarm if expected over observed cancers of a year lies outside, beyond chance.

    The scores must be calibrated probabilities: of others the ratio means nothing. The observed
    number has Byar's interval; the alarm needs all of it on one side, which chance does to an
    exact model that lies at a limit in 1 of 40 looks, and to one in the middle hardly ever.
    """
    expected = sum(one.score for one in answers)
    observed = sum(one.is_ill for one in answers)
    low, high = poisson_rate(observed, 1.0)
    least, most = CALIBRATED_WITHIN
    if not answers or (expected <= most * high and expected >= least * low):
        return None
    ratio = f"{expected / observed:.2f}" if observed else f"{expected:.1f} to none"
    words = (
        f"{expected:.1f} cancers expected by the scores of {len(answers)} studies whose truth is "
        f"known, {observed} observed ({low:.1f} to {high:.1f}): expected over observed is {ratio}"
    )
    return Alarm(scanner=NODE, kind=Kind.CALIBRATION, at=now, detail=words)


def share_of(measure: str, answers: Sequence[KnownAnswer]) -> Share:
    """Return sensitivity, specificity or predictive value of answers whose truth is known."""
    if not answers:
        return Share(count=0, of=0)
    found = agreement(
        [one.flagged for one in answers],
        [one.score for one in answers],
        [one.is_ill for one in answers],
    )
    shares = {
        "sensitivity": found.sensitivity,
        "specificity": found.specificity,
        "predictive_value": found.predictive_value,
    }
    return shares[measure]


def is_met(rule: StopRule, answers: Sequence[KnownAnswer], *, now: datetime) -> bool:
    """Tell whether the truth of the last days meets a stop rule, beyond chance.

    The whole 95 % interval (Wilson) must lie beyond the limit, of at least ten studies: truth
    comes late and of few, and a single missed cancer of two is no reason to stop.
    """
    begin = now - timedelta(days=rule.days)
    share = share_of(rule.measure, [one for one in answers if one.at >= begin])
    if share.of < LEAST_ANSWERS:
        return False
    low, high = share.interval
    return low > rule.limit if rule.is_above else high < rule.limit
