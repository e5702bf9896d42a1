"""When a scanner is silent: by its own hours, over nights, weekends and the change of clocks."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from dicom_node.monitoring.rhythm import SILENT_HOURS, Limits, Rhythm, rhythm_of

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 1, 5, tzinfo=BERLIN)


def times(weeks: int = 12, a_day: float = 40, seed: int = 1) -> list[datetime]:
    random = np.random.default_rng(seed)
    found = []
    for day in range(weeks * 7):
        if day % 7 < 5:
            hours = 8 + 8 * np.sort(random.random(random.poisson(a_day)))
            found += [
                (MONDAY + timedelta(days=day)).replace(hour=0) + timedelta(hours=float(hour))
                for hour in hours
            ]
    return found


def learnt(found: Sequence[datetime]) -> Rhythm:
    rhythm = rhythm_of(found, BERLIN)
    assert rhythm is not None
    return rhythm


def test_limit_is_the_logarithm_of_studies_over_false_alarms() -> None:
    rhythm = learnt(times())

    assert rhythm.yearly == pytest.approx(10_400, rel=0.05)
    # ln(10 400 / 0.5) = 9.94, and a little more since the rate is a guess
    assert 9.94 < rhythm.limit(0.5) < 10.2


def test_nights_and_weekends_are_no_silence() -> None:
    rhythm = learnt(times())
    friday = MONDAY + timedelta(days=4, hours=16)

    assert rhythm.expected(friday, friday + timedelta(hours=64)) == pytest.approx(0, abs=0.2)


def test_silence_of_two_working_hours_is_reached_the_next_morning() -> None:
    rhythm = learnt(times())
    evening = MONDAY + timedelta(days=1, hours=15)

    reached = rhythm.reached(evening, rhythm.limits(0.7))

    assert reached.date() == (evening + timedelta(days=1)).date()
    assert 8.5 < reached.astimezone(BERLIN).hour + reached.minute / 60 < 9.6


def test_hours_are_those_of_the_site_when_its_clocks_change() -> None:
    rhythm = learnt(times())
    after = datetime(2026, 4, 1, 8, tzinfo=BERLIN)  # two days into summer time

    assert rhythm.expected(after, after + timedelta(hours=1)) == pytest.approx(5, rel=0.15)
    assert rhythm.expected(after - timedelta(hours=1), after) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("hour", [8.0, 9.5, 11.0, 12.0, 12.5, 13.9, 15.0])
def test_silence_of_forty_studies_a_day_is_found_within_two_working_hours(hour: float) -> None:
    """Whatever the hour: the last study came before the silence began."""
    rhythm = learnt(times(26))
    last = MONDAY + timedelta(days=1, hours=hour)

    limits = rhythm.limits(0.7)

    assert limits.hours == SILENT_HOURS
    gone = rhythm.working_hours(last, rhythm.reached(last, limits))
    assert 1.5 < gone <= 2.0


def test_pauses_of_two_hours_that_are_too_frequent_by_chance_are_no_silence() -> None:
    rhythm = learnt(times(26, a_day=30))

    assert rhythm.pauses_by_chance(SILENT_HOURS) > 2
    assert rhythm.limits(0.7) == Limits(studies=rhythm.limit(0.7), hours=math.inf)


def test_busy_scanner_is_silent_long_before_two_hours() -> None:
    rhythm = learnt(times(26, a_day=120))
    morning = MONDAY + timedelta(days=1, hours=9)

    assert rhythm.reached(morning, rhythm.limits(0.7)) < morning + timedelta(minutes=55)


def test_pauses_of_two_hours_are_as_rare_as_computed() -> None:
    rhythm = learnt(times(26))
    pauses = list(pairwise(times(weeks=400, seed=3)))

    longer = sum(rhythm.working_hours(one, other) >= 1.5 for one, other in pauses)

    expected = rhythm.pauses_by_chance(1.5) * 400 / 52
    assert expected > 30
    assert longer == pytest.approx(expected, rel=0.45), "2.5 standard errors, and the rate's"


def test_pauses_that_are_longer_by_chance_are_as_rare_as_stated() -> None:
    rhythm = learnt(times())
    limit = rhythm.limit(20.0)
    fresh = times(weeks=52, seed=2)

    pauses = pairwise(fresh)
    longer = sum(rhythm.expected(one, other) > limit for one, other in pauses)

    assert 8 <= longer <= 34, "20 a year, by 2.5 standard errors and what the rate is wrong by"


def test_little_known_scanner_has_no_rhythm() -> None:
    assert rhythm_of(times(weeks=1)[:100], UTC) is None
