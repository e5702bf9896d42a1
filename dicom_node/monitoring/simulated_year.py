"""A year of scanners by chance, to find out when the watch would find what.

Studies come as a Poisson process over the hours of five working days. What the model says of a
study is a normal number; it is flagged above the limit that gives the reference's flag rate, and
its score is the probability of a cancer by that number. A software update moves all of these
numbers, another mix of patients those of the women with a cancer alone. What is measured of the
pixels has chances of its own. All of it follows from a seed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom_node.monitoring.alarms import Alarm, Kind
from dicom_node.monitoring.observation import Fingerprint, Observation
from dicom_node.monitoring.scanner_watch import ScannerWatch

START: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""

HOURS: Final = (0.9, 1.0, 1.1, 1.1, 0.8, 1.0, 1.1, 1.0)
"""Studies of each working hour from 8:00 on, against their mean."""

FIRST_HOUR: Final = 8
WEEKS: Final = 52
WATCHED_FROM_WEEK: Final = 8
"""Until then a reference is gathered."""

_CANCERS: Final = 0.006
_CANCER_SHIFT: Final = 2.0
_EMBEDDING: Final = 16
_OUTSIDE: Final = 0.008
"""Share of studies that are not meant for the model: less than what is told, though not by much."""

_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one scanner.

    Attributes
    ----------
    week : from 0 on
    hour : working hour of that week, from 0 on, in which it happens
    flag_rate : after it, since all images look otherwise; None if they do not
    software : after it; empty if the header says what it always said
    cancers : share of women with a cancer after it; None if as before
    silent_days : working days without any study
    pixels : standard deviations by which grey and noise are higher after it
    outside : share of studies after it that are not meant for the model; None if as before
    """

    week: int
    hour: float = 18.0
    flag_rate: float | None = None
    software: str = ""
    cancers: float | None = None
    silent_days: int = 0
    pixels: float = 0.0
    outside: float | None = None

    @property
    def at(self) -> datetime:
        """Return when it happens."""
        day, hour = divmod(self.hour, 8)
        return START + timedelta(weeks=self.week, days=day, hours=FIRST_HOUR + hour)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One scanner's year.

    Attributes
    ----------
    a_day : studies of a working day
    """

    scanner: str
    a_day: float = 40.0
    flag_rate: float = 0.13
    change: Change | None = None


@dataclass(slots=True)
class Year:
    """What the watch said of one scanner's year."""

    plan: Plan
    alarms: list[Alarm] = field(default_factory=list)
    studies: int = 0

    @property
    def false_alarms(self) -> list[Alarm]:
        """Return the alarms that were raised while nothing had changed."""
        until = self._undisturbed_until
        begin = START + timedelta(weeks=WATCHED_FROM_WEEK)
        return [one for one in self.alarms if not one.kind.is_event and begin <= one.at < until]

    @property
    def undisturbed_years(self) -> float:
        """Return for how long the scanner was watched while nothing had changed."""
        begin = START + timedelta(weeks=WATCHED_FROM_WEEK)
        return (self._undisturbed_until - begin) / timedelta(weeks=WEEKS)

    def found_after(self, *kinds: Kind) -> float | None:
        """Return after how many working hours the change was found by such an alarm."""
        change = self.plan.change
        assert change is not None, "a plan with a change"
        times = [one.at for one in self.alarms if one.kind in kinds and one.at >= change.at]
        return working_hours(change.at, min(times)) if times else None

    @property
    def _undisturbed_until(self) -> datetime:
        end = START + timedelta(weeks=WEEKS)
        return end if self.plan.change is None else self.plan.change.at


def usual_plans(seed: int) -> list[Plan]:
    """Return five scanners: an update, another mix of patients, a silence, 48 %, and nothing.

    Each happens at a working hour of its week that follows from the seed.
    """
    hours = iter(np.random.default_rng(seed).uniform(0, 40, 4).tolist())
    return [
        Plan(
            scanner="A",
            change=Change(week=20, hour=next(hours), flag_rate=0.30, software="2.0", pixels=1.0),
        ),
        Plan(scanner="B", change=Change(week=30, hour=next(hours), cancers=0.08)),
        Plan(scanner="C", change=Change(week=40, hour=next(hours), silent_days=2)),
        Plan(scanner="D", change=Change(week=25, hour=next(hours), flag_rate=0.48)),
        Plan(scanner="E"),
    ]


def simulated_year(plan: Plan, seed: int, *, weeks: int = WEEKS) -> Year:
    """Watch one scanner for a year, or the first weeks of it."""
    year = Year(plan=plan)
    watch = ScannerWatch(scanner=plan.scanner)
    for one in observations(plan, seed):
        if one.at >= START + timedelta(weeks=weeks):
            break
        year.alarms += watch.add(one)
        year.studies += 1
    return year


def observations(plan: Plan, seed: int) -> Iterator[Observation]:
    """Yield a year of answers, in the order of their time."""
    return (one for one, _ in answers_and_truth(plan, seed))


def answers_and_truth(plan: Plan, seed: int) -> Iterator[tuple[Observation, bool]]:
    """Yield a year of answers, and whether each woman has a cancer."""
    random = np.random.default_rng([seed, *plan.scanner.encode()])
    of_pixels = np.random.default_rng([seed, *plan.scanner.encode(), 1])
    limit = _limit_of(plan.flag_rate)
    direction = random.normal(size=_EMBEDDING)
    direction /= np.linalg.norm(direction)
    for day in range(WEEKS * 7):
        if day % 7 < 5:
            times = list(_times_of(START + timedelta(days=day), plan, random))
            yield from _answers(times, plan, limit, direction, (random, of_pixels))


def working_hours(since: datetime, until: datetime) -> float:
    """Return how many working hours lie between two times, 8 a day from Monday to Friday."""

    def upto(at: datetime) -> float:
        days, rest = divmod((at - START) / timedelta(days=1), 7)
        whole = min(int(rest), 5)
        hour = (rest - int(rest)) * 24 - FIRST_HOUR if rest < 5 else 0.0
        return days * 40 + whole * 8 + min(max(hour, 0.0), 8.0)

    return upto(until) - upto(since)


@lru_cache
def _limit_of(flag_rate: float, cancers: float = _CANCERS) -> float:
    """Return the number above which so many are flagged, cancers and others together."""
    low, high = -6.0, 6.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        above = (1 - cancers) * (1 - _NORMAL.cdf(middle)) + cancers * (
            1 - _NORMAL.cdf(middle - _CANCER_SHIFT)
        )
        low, high = (middle, high) if above > flag_rate else (low, middle)
    return high


def _times_of(midnight: datetime, plan: Plan, random: np.random.Generator) -> Iterator[datetime]:
    hourly = plan.a_day / sum(HOURS)
    for number, share in enumerate(HOURS):
        begin = midnight + timedelta(hours=FIRST_HOUR + number)
        count = random.poisson(hourly * share)
        for part in np.sort(random.uniform(0, 3600, count)):
            at = begin + timedelta(seconds=float(part))
            if not _is_silent(plan.change, at):
                yield at


def _is_silent(change: Change | None, at: datetime) -> bool:
    if change is None or at < change.at:
        return False
    return working_hours(change.at, at) < 8 * change.silent_days


def _answers(
    times: list[datetime],
    plan: Plan,
    limit: float,
    direction: NDArray[np.float64],
    chance_of: tuple[np.random.Generator, np.random.Generator],
) -> Iterator[tuple[Observation, bool]]:
    random, of_pixels = chance_of
    draws = random.normal(size=(len(times), _EMBEDDING + 2))
    measured = of_pixels.normal(size=(len(times), 3))
    chances = random.random(size=(len(times), 4))
    moved = None if plan.change is None else plan.change.flag_rate
    shift_after = 0.0 if moved is None else limit - _limit_of(moved)
    for at, draw, pixels, chance in zip(times, draws, measured, chances, strict=True):
        change = plan.change if plan.change and at >= plan.change.at else None
        cancers = _CANCERS if change is None or change.cancers is None else change.cancers
        shift = 0.0 if change is None else shift_after
        outside = _OUTSIDE if change is None or change.outside is None else change.outside
        has_cancer = bool(chance[0] < cancers)
        value = float(draw[0]) + shift + (_CANCER_SHIFT if has_cancer else 0.0)
        embedding = draw[1:-1] * 0.3 + 2.0 * direction + 0.3 * shift
        software = change.software if change and change.software else "1.0"
        one = Observation(
            at=at,
            equipment=Fingerprint("Maker", "Model", plan.scanner, software),
            flagged=value >= limit,
            scores={"cancer": _probability_of(value)},
            asymmetry=abs(float(draw[-1])) + (1.0 if has_cancer else 0.0),
            embedding=tuple(embedding.tolist()),
            left_out=bool(chance[1] < 0.01),
            late=bool(chance[2] < 0.01),
            pixels=_pixels_of(pixels, 0.0 if change is None else change.pixels),
            outside="by age" if chance[3] < outside else "",
        )
        yield one, has_cancer


def _probability_of(value: float) -> float:
    """Return how probable a cancer is by what the model says, where nothing has changed.

    The ratio of the two normal densities is ``exp(s v - s²/2)``, with the shift s.
    """
    odds = _CANCERS / (1 - _CANCERS) * math.exp(_CANCER_SHIFT * value - _CANCER_SHIFT**2 / 2)
    return odds / (1 + odds)


def _pixels_of(draw: NDArray[np.float64], moved: float) -> dict[str, float]:
    return {
        "breast_share": 0.3 + 0.08 * float(draw[0]),
        "mean_grey": 0.4 + 0.04 * (float(draw[1]) + moved),
        "noise": 0.01 * math.exp(0.3 * (float(draw[2]) + moved)),
    }
