"""The alarm on calibration in simulated years: rare by chance, soon there where scores are off."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from dicom_node.drift.truth_watch import LOOKED_BACK, calibration_alarm
from dicom_node.monitoring.intervals import poisson_rate
from dicom_node.monitoring.simulated_year import START, Plan, answers_and_truth
from dicom_node.studies.ledger.monitoring.truths import KnownAnswer

WEEKS = 52
KNOWN_AFTER = timedelta(weeks=4)


def known(seed: int, scanners: str) -> list[KnownAnswer]:
    """Return a site's year, all of whose truth becomes known."""
    return [
        KnownAnswer(
            at=one.at,
            scanner=scanner,
            flagged=one.flagged,
            score=one.scores["cancer"],
            is_ill=is_ill,
        )
        for scanner in scanners
        for one, is_ill in answers_and_truth(Plan(scanner=scanner), seed)
    ]


def with_odds(answers: Sequence[KnownAnswer], times: float) -> list[KnownAnswer]:
    """Return answers the odds of whose scores are so many times too high."""
    return [
        replace(one, score=times * one.score / (1 - one.score + times * one.score))
        for one in answers
    ]


def alarms(answers: Sequence[KnownAnswer]) -> list[datetime]:
    """Return when truth that is entered once a week raises an alarm: not again within a week."""
    found = []
    for week in range(WEEKS + 1):
        now = START + timedelta(weeks=week)
        of_now = [one for one in answers if now - LOOKED_BACK <= one.at <= now - KNOWN_AFTER]
        if calibration_alarm(of_now, now=now) is not None:
            found.append(now)
    return found


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_calibration_is_told_where_it_is_off_and_hardly_by_chance(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Print the figures of docs/monitoring.md."""
    false, alone, off = [], [], []
    for seed in range(60):
        year = known(seed, "ABCDE")
        false.append(len(alarms(year)))
        alone.append(len(alarms([one for one in year if one.scanner == "E"])))
        off.append(alarms(with_odds(year, 2.0)))
    weeks = sorted((one[0] - START).days / 7 if one else np.inf for one in off)

    with capsys.disabled():
        for name, counts in (("five scanners", false), ("one scanner", alone)):
            print(f"\n{name}: {sum(counts)} false {poisson_rate(sum(counts), 60)}")  # noqa: T201
        print(f"odds doubled: weeks {np.quantile(weeks, [0, 0.5, 1])}")  # noqa: T201
    assert poisson_rate(sum(false), 60 * 5)[1] < 0.1
    assert weeks[-1] <= WEEKS
