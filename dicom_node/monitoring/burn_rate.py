"""How fast answers that come late use up what a service level allows of them.

The service level is a share of answers that are on time, for example 99 %: the budget are the 1 %
that may be late. A burn rate of 1 uses it up in just the time that it is meant for, 30 days; one of
14.4 uses 2 % of it in an hour, one of 6 uses 5 % in six hours. Each is an alert only if a window of
a twelfth of that length burns as fast: so it ends soon after the cause has ended (Beyer et al., The
Site Reliability Workbook, 2018, chapter 5, multiwindow multi-burn-rate alerts).

A node answers tens of studies a day where web services answer thousands a minute: one late answer
of five in an hour is a burn rate of 20. So an alert needs at least three late ones too, and a study
that waits beyond its time counts in every window until it is answered: nothing is answered at all
when all is broken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

WINDOWS: Final = MappingProxyType(
    {
        "5m": timedelta(minutes=5),
        "30m": timedelta(minutes=30),
        "1h": timedelta(hours=1),
        "6h": timedelta(hours=6),
    }
)
"""By their names in Prometheus, the shortest first."""

LONGEST: Final = max(WINDOWS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One answer that was given.

    Attributes
    ----------
    ago : since when it was there
    is_late : whether it came later than it should
    """

    ago: timedelta
    is_late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """What one window has used of the budget.

    Attributes
    ----------
    answers : given in it, and studies that are late now and wait
    late : of these
    budget : share of answers that may be late
    """

    answers: int
    late: int
    budget: float

    @property
    def rate(self) -> float:
        """Return how many times faster the budget is used up than it lasts; 0 without answers."""
        return self.late / self.answers / self.budget if self.answers else 0.0


def burns(given: Sequence[Given], overdue: int, *, on_time: float) -> dict[str, Burn]:
    """Return what each window has used.

    Parameters
    ----------
    given : answers of the longest window
    overdue : studies that wait for an answer which is late already
    on_time : share of answers that should be on time, below 1
    """
    found = {}
    for name, window in WINDOWS.items():
        within = [one for one in given if one.ago <= window]
        found[name] = Burn(
            answers=len(within) + overdue,
            late=sum(one.is_late for one in within) + overdue,
            budget=1.0 - on_time,
        )
    return found
