"""The watch in a simulated year: what changes is found in time, and false alarms are rare."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing import get_context
from statistics import median

import pytest

from dicom_node.monitoring.alarms import FALSE_ALARMS, Kind
from dicom_node.monitoring.intervals import poisson_rate, wilson
from dicom_node.monitoring.simulated_year import (
    START,
    Change,
    Plan,
    simulated_year,
    usual_plans,
    working_hours,
)

DAY = 8.0
"""Working hours."""

TWO_HOURS = 2.0
"""Working hours."""

SEEDS = 120
"""Years of the five usual scanners: so many that the interval of what all may ring is narrow."""

SEARCHED = (
    ("A", Kind.FLAG_RATE_ROSE, 5 * DAY),
    ("A", Kind.NEW_SOFTWARE, 4.0),
    ("A", Kind.PIXELS, 15 * DAY),
    ("C", Kind.SILENCE, TWO_HOURS),
    ("D", Kind.FLAG_RATE_ROSE, 2 * DAY),
)
"""What is found on which of the usual scanners, within so many working hours."""


def test_false_alarms_of_all_kinds_together_stay_below_one_a_year() -> None:
    assert set(FALSE_ALARMS) == {kind for kind in Kind if kind.is_charted}
    assert sum(FALSE_ALARMS.values()) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("change", "kind", "within"),
    [
        (Change(week=6, flag_rate=0.30), Kind.FLAG_RATE_ROSE, 5 * DAY),
        (Change(week=6, flag_rate=0.48), Kind.FLAG_RATE_ROSE, 2 * DAY),
        (Change(week=6, silent_days=1), Kind.SILENCE, TWO_HOURS),
        (Change(week=6, software="2.0"), Kind.NEW_SOFTWARE, 1.0),
        (Change(week=6, pixels=1.0), Kind.PIXELS, 10 * DAY),
        (Change(week=6, outside=0.1), Kind.ROUTING, 5 * DAY),
    ],
)
def test_change_is_found_in_time(change: Change, kind: Kind, within: float) -> None:
    year = simulated_year(Plan(scanner="A", change=change), seed=1, weeks=8)

    hours = year.found_after(kind)
    assert hours is not None
    assert hours <= within


def test_undisturbed_scanner_is_left_in_peace() -> None:
    year = simulated_year(Plan(scanner="E"), seed=1, weeks=12)

    assert len(year.false_alarms) <= 1


def test_same_seed_is_the_same_year() -> None:
    plan = Plan(scanner="A", change=Change(week=6, flag_rate=0.30))

    assert simulated_year(plan, 3, weeks=7).alarms == simulated_year(plan, 3, weeks=7).alarms


@dataclass
class Played:
    """What the usual scanners of one seed rang in their year."""

    false: Counter[str] = field(default_factory=Counter)
    exposure: float = 0.0
    found: dict[str, float] = field(default_factory=dict)


def played(seed: int) -> Played:
    all_of_them = Played()
    for plan in usual_plans(seed):
        year = simulated_year(plan, seed)
        all_of_them.false.update(one.kind.value for one in year.false_alarms)
        all_of_them.exposure += year.undisturbed_years
        for name, kind, _ in SEARCHED:
            if plan.scanner == name:
                hours = year.found_after(kind)
                all_of_them.found[f"{name} {kind.value}"] = 1e9 if hours is None else hours
    return all_of_them


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_six_hundred_scanners_for_a_year_are_watched_as_stated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Print the figures of docs/monitoring.md, with their intervals."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as processes:
        years = list(processes.map(played, range(SEEDS)))
    false = sum((one.false for one in years), Counter())
    exposure = sum(one.exposure for one in years)
    found = {key: [one.found[key] for one in years] for key in years[0].found}

    rate = poisson_rate(sum(false.values()), exposure)
    with capsys.disabled():
        print(f"\nfalse alarms {false} in {exposure:.0f} scanner years: {rate}")  # noqa: T201
        for name, kind, within in SEARCHED:
            hours = sorted(found[f"{name} {kind.value}"])
            in_time = sum(one <= within for one in hours)
            print(  # noqa: T201
                f"{name} by {kind.value}: {in_time} of {len(hours)} within {within:g} working "
                f"hours {wilson(in_time, len(hours))}, half {median(hours):.2f}, "
                f"last {hours[-1]:.2f}"
            )
    assert rate[1] < 1.0
    for name, kind, within in SEARCHED:
        assert sum(one <= within for one in found[f"{name} {kind.value}"]) >= 0.95 * SEEDS, (
            name,
            kind,
        )


def test_working_hours_leave_out_nights_and_weekends() -> None:
    friday = START + timedelta(days=4, hours=15)
    assert working_hours(friday, START + timedelta(days=7, hours=9)) == pytest.approx(2.0)
