"""Doubts the ledger's clock after it stepped forward, before files are removed by what it says."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

log = structlog.get_logger("dicom_node.steady_clock")

LEAP: Final = timedelta(hours=1)
"""Step from which on a clock is doubted: ages that matter are days."""

STEADY: Final = timedelta(hours=6)
"""For how long it must go on without another such step until its word counts again.

A clock that a time service or a person puts right again is put right within this time mostly.
"""


class SteadyClock:
    """Compares a clock with the time that passes, for whoever is to believe that something is old.

    Parameters
    ----------
    monotonic : seconds that pass whatever the clock says
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last: tuple[datetime, float] | None = None
        self._doubted_until = float("-inf")

    def believes(self, at: datetime) -> bool:
        """Return whether what is old by the clock is old.

        Parameters
        ----------
        at : what the clock says now
        """
        passed = self._monotonic()
        if self._last is not None:
            last_at, last_passed = self._last
            step = (at - last_at) - timedelta(seconds=passed - last_passed)
            if step >= LEAP:
                self._doubted_until = passed + STEADY.total_seconds()
                detail = "nothing is removed for its age until the clock has gone right for 6 h"
                log.warning("clock_doubted", seconds=round(step.total_seconds()), detail=detail)
        self._last = (at, passed)
        return passed >= self._doubted_until
