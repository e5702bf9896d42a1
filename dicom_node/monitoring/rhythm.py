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

_CLOSED_SHARE: Final = 0.1
"""A day with less than this of the busiest day's studies is none of the usual days."""

_QUIET_SHARE: Final = 0.02
"""An hour with less than this of the busiest one's studies brings none that are waited for."""


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

    @property
    def yearly(self) -> float:
        """Return the expected studies of a year."""
        return self._sums[-1] * WEEKS_OF_YEAR

    def expected(self, since: datetime, until: datetime) -> float:
        """Return how many studies usually come between two times."""
        if until <= since:
            return 0.0
        return self._upto(until) - self._upto(since)

    def limit(self, false_alarms: float) -> float:
        """Return after how many expected studies a silence is an alarm.

        Parameters
        ----------
        false_alarms : a year
        """
        wanted = math.log(max(self.yearly / false_alarms, math.e))
        # How many of the studies speak of the hours of such a pause: its share of a day.
        busy = max(self._sums[-1] / max(self._days, 1), 1.0)
        known = max(self.studies * min(wanted / busy, 1.0), 10.0)
        return known * (math.exp(wanted / known) - 1)

    def reached(self, since: datetime, limit: float) -> datetime:
        """Return when so many studies should have come since a time, to the minute."""
        start = self._upto(since)
        low, high = timedelta(), timedelta(days=28)
        while high - low > timedelta(minutes=1):
            middle = (low + high) / 2
            if self._upto(since + middle) - start < limit:
                low = middle
            else:
                high = middle
        return since + high

    @property
    def _days(self) -> int:
        return int((self.hourly.reshape(7, 24).sum(axis=1) > 0).sum())

    def _upto(self, at: datetime) -> float:
        local = at.astimezone(self.zone)
        day = local.toordinal() - 1  # the 1st of January of the year 1 was a Monday
        weeks, weekday = divmod(day, 7)
        hour = weekday * 24 + local.hour
        part = (local.minute + local.second / 60) / 60
        return weeks * self._sums[-1] + self._sums[hour] + part * float(self.hourly[hour])


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
    return Rhythm(hourly=hourly, studies=len(times), zone=zone, _sums=sums)
