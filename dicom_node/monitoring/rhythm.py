"""When studies of a scanner usually come, and after how long a silence it is probably down.

Studies are taken to come as a Poisson process whose rate follows the hours of the week. In the
time of that process, in which every unit brings one expected study, the pauses between studies
are exponential: one is longer than μ with the probability ``exp(-μ)``. Of N studies a year that
makes ``N exp(-μ)`` pauses longer than μ, each a false alarm. For at most b of them::

    μ = ln(N / b)

For example 10 400 studies a year and 0.5 false alarms: μ = ln(20 800) = 9.94 expected studies.
At 5 studies an hour that is a silence of 1 hour 59 minutes. Appointments come more evenly than a
Poisson process, so that there are fewer false alarms than this.

The rate is itself estimated, from n studies in the hours of such a pause. With the uncertainty of
a Gamma distribution the probability is ``(1 + μ/n)^-n``, and the limit a little higher::

    μ = n ((N / b)^(1/n) - 1)

Such a limit is reached sooner in busy hours than in quiet ones: at 5 studies an hour on average,
after 1 hour 49 minutes to 2 hours 14. Where it is to be reached within two working hours whatever
the hour, each pause of two working hours is an alarm. With the rate λ(t) and the studies m(t) that
the two hours after t usually bring, that makes so many false ones a year::

    52 ∫ λ(t) exp(-m(t)) dt   over the week

With 40 studies a day in eight hours, of which the quietest bring 0.8 of the mean, it is 0.55, where
the quietest two hours alone, as the limit for all, would make 10 400 exp(-9) = 1.28. So pauses of
two working hours are alarms where the stated false alarms allow it, and a tenth of a false alarm a
year, or what they leave if that is less, is for pauses that are shorter and improbable, as those of
busy scanners are: 120 studies a day are missed after 12.7 expected ones, 51 minutes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

import numpy as np
from numpy.typing import NDArray

WEEK_HOURS: Final = 168
WEEKS_OF_YEAR: Final = 52
MINIMUM_STUDIES: Final = 200
"""Below this nothing is said of a rhythm."""

SILENT_HOURS: Final = 2 - 15 / 3600
"""A pause of so many working hours is a silence, where that is rarely so by chance."""

MOST_OF_SHORTER: Final = 0.1
"""False alarms a year, at most, by pauses that are shorter than that: of busy scanners."""

_STEPS_OF_HOUR: Final = 12

_CLOSED_SHARE: Final = 0.1
"""A day with less than this of the busiest day's studies is none of the usual days."""

_QUIET_SHARE: Final = 0.02
"""An hour with less than this of the busiest one's studies brings none that are waited for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """After how long a pause is a silence: whichever comes first.

    Attributes
    ----------
    studies : that usually come in it
    hours : of those at which studies usually come; infinite where that says too little
    """

    studies: float
    hours: float


NEVER: Final = Limits(studies=math.inf, hours=math.inf)
"""Of a scanner whose rhythm is not known: no pause is a silence."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Expected studies by hour of the week, local time, Monday 0:00 first.

    Attributes
    ----------
    hourly : (168,) studies an hour
    studies : that it was learnt from
    zone : in which the hours are meant
    """

    hourly: NDArray[np.float64]
    studies: int
    zone: tzinfo
    _sums: tuple[float, ...]
    _open: tuple[float, ...]

    @property
    def yearly(self) -> float:
        """Return the expected studies of a year."""
        return self._sums[-1] * WEEKS_OF_YEAR

    def expected(self, since: datetime, until: datetime) -> float:
        """Return how many studies usually come between two times."""
        if until <= since:
            return 0.0
        return self._upto(until) - self._upto(since)

    def working_hours(self, since: datetime, until: datetime) -> float:
        """Return how many of the hours at which studies usually come lie between two times."""
        if until <= since:
            return 0.0
        is_open = (self.hourly > 0).astype(float)
        return self._upto(until, self._open, is_open) - self._upto(since, self._open, is_open)

    def limits(self, false_alarms: float) -> "Limits":
        """Return when a silence is an alarm.

        Parameters
        ----------
        false_alarms : a year
        """
        by_hours = self.pauses_by_chance(SILENT_HOURS)
        if by_hours >= false_alarms:
            return Limits(studies=self.limit(false_alarms), hours=math.inf)
        shorter = min(false_alarms - by_hours, MOST_OF_SHORTER)
        return Limits(studies=self.limit(shorter), hours=SILENT_HOURS)

    def pauses_by_chance(self, hours: float) -> float:
        """Return how many pauses a year last so many working hours though nothing is broken."""
        rates = np.repeat(self.hourly[self.hourly > 0], _STEPS_OF_HOUR) / _STEPS_OF_HOUR
        length = hours * _STEPS_OF_HOUR
        # The week goes on at its beginning: the hours in which nothing comes are left out.
        sums = np.concatenate([[0.0], np.cumsum(np.concatenate([rates, rates]))])
        starts = np.arange(len(rates))
        if length >= len(rates):
            return 0.0
        coming = np.interp(starts + length, np.arange(len(sums)), sums) - sums[starts]
        # Since the rates are guesses, their mean exceeds the true one by some hundredths: as much
        # as the Gamma distribution would add, which is therefore not added to it.
        return float((rates * np.exp(-coming)).sum() * WEEKS_OF_YEAR)

    def limit(self, false_alarms: float) -> float:
        """Return after how many expected studies a silence is an alarm.

        Parameters
        ----------
        false_alarms : a year
        """
        wanted = math.log(max(self.yearly / false_alarms, math.e))
        known = self._known(wanted)
        return known * (math.exp(wanted / known) - 1)

    def is_reached(self, since: datetime, until: datetime, limits: "Limits") -> bool:
        """Return whether a pause is a silence."""
        return (
            self.expected(since, until) >= limits.studies
            or self.working_hours(since, until) >= limits.hours
        )

    def reached(self, since: datetime, limits: "Limits") -> datetime:
        """Return when a pause becomes a silence, to some seconds."""
        low, high = timedelta(), timedelta(days=28)
        while high - low > timedelta(seconds=10):
            middle = (low + high) / 2
            if self.is_reached(since, since + middle, limits):
                high = middle
            else:
                low = middle
        return since + high

    def _known(self, studies: float) -> float:
        """Return how many of the studies speak of the hours of a pause: its share of a day."""
        busy = max(self._sums[-1] / max(self._days, 1), 1.0)
        return max(self.studies * min(studies / busy, 1.0), 10.0)

    @property
    def _days(self) -> int:
        return int((self.hourly.reshape(7, 24).sum(axis=1) > 0).sum())

    def _upto(
        self,
        at: datetime,
        sums: tuple[float, ...] | None = None,
        hourly: NDArray[np.float64] | None = None,
    ) -> float:
        sums = self._sums if sums is None else sums
        hourly = self.hourly if hourly is None else hourly
        local = at.astimezone(self.zone)
        day = local.toordinal() - 1  # the 1st of January of the year 1 was a Monday
        weeks, weekday = divmod(day, 7)
        hour = weekday * 24 + local.hour
        part = (local.minute + local.second / 60) / 60
        return weeks * sums[-1] + sums[hour] + part * float(hourly[hour])


def rhythm_of(times: Sequence[datetime], zone: tzinfo) -> Rhythm | None:
    """Learn when studies come; None if there are too few to say.

    Hours are learnt over all usual days together, and each weekday's part of the week apart, half
    way to that of the others: so that two hours of one weekday need not have been seen often.
    """
    if len(times) < MINIMUM_STUDIES:
        return None
    local = [at.astimezone(zone) for at in times]
    weeks = max((max(times) - min(times)).total_seconds() / 604_800, 1.0)
    counts = np.zeros((7, 24))
    for at in local:
        counts[at.weekday(), at.hour] += 1
    by_day = counts.sum(axis=1)
    usual = by_day >= _CLOSED_SHARE * by_day.max()
    profile = counts[usual].sum(axis=0)
    profile[profile < _QUIET_SHARE * profile.max()] = 0
    profile /= profile.sum()
    shrunk = np.where(usual, (by_day + by_day[usual].mean()) / 2, 0.0)
    shrunk *= by_day[usual].sum() / shrunk.sum()
    hourly = (shrunk[:, None] * profile[None, :] / weeks).reshape(WEEK_HOURS)
    sums = (0.0, *map(float, np.cumsum(hourly)))
    opened = (0.0, *map(float, np.cumsum(hourly > 0)))
    return Rhythm(hourly=hourly, studies=len(times), zone=zone, _sums=sums, _open=opened)
