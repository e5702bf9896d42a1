"""Sees the ledger's clock step, so that nothing waits until it has caught up."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy.orm import Session

from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.future_stamps import (
    PORTION,
    Stamp,
    ages,
    asked_at,
    begin_anew,
    bring_down,
    came_at,
    due_at,
    leases,
    prolong,
)
from dicom_node.studies.steady_clock import LEAP

log = structlog.get_logger("dicom_node.clock_steps")

_STEP: Final = timedelta(seconds=5)
"""Difference from the passing of time that is no drift of a clock."""

_LOOK_SECONDS: Final = 60.0
"""Time after which stamps are looked at although no step was seen: another host may have
stamped by a clock that was wrong, or the clock was put right while no node was running."""


_LEAST_WAIT: Final = timedelta(minutes=10)
"""By which a stamp of due work may lie ahead in any case: workers put work off by themselves."""


class ClockSteps:
    """Brings stamps in the future down after the clock stepped back, and keeps leases after both.

    After a leap forward the time begins anew after which deliveries that wait are given up.

    Parameters
    ----------
    lease : of a worker
    longest_wait : the longest that a clock which goes right puts work off
    monotonic : seconds that pass whatever the clock says
    """

    def __init__(
        self,
        database: Database,
        *,
        lease: timedelta,
        longest_wait: timedelta,
        clock: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._lease = lease
        self._longest_wait = longest_wait
        self._clock = clock or database.now
        self._monotonic = monotonic
        self._last: tuple[datetime, float, float] | None = None
        self._look_at = 0.0

    def look(self) -> None:
        """Compare the clock with the time that has passed, and mend what a step has left."""
        before = self._monotonic()
        at = self._clock()
        after = self._monotonic()
        step = self._step_since_last(at, before, after)
        if step:
            self._mend(step, at)
        if self._last is None or after >= self._look_at:
            self._look_for_older_steps(at)
            self._look_at = after + _LOOK_SECONDS
        # Last, so that a ledger that does not answer has it done at the next look.
        self._last = (at, before, after)

    def _step_since_last(self, at: datetime, before: float, after: float) -> timedelta:
        """Return by how much the clock has stepped at least; 0 if it may have gone right."""
        if self._last is None:
            return timedelta(0)
        last_at, last_before, last_after = self._last
        # To ask may have taken long, before or after the clock was read.
        least = (at - last_at) - timedelta(seconds=after - last_before)
        most = (at - last_at) - timedelta(seconds=before - last_after)
        if most < -_STEP:
            return most
        return least if least > _STEP else timedelta(0)

    def _mend(self, step: timedelta, at: datetime) -> None:
        if step < timedelta(0):
            stamps = [*came_at(), *due_at(), *asked_at(), *leases(self._lease)]
            count = self._bring_down(stamps, at)
            detail = "nothing that was stamped before waits until the clock has caught up"
        else:
            assert self._last is not None
            since, count = self._last[0], 0
            for stamp in leases(self._lease):
                with self._database.writing() as session:
                    count += prolong(session, stamp, since=since, at=at)
            detail = "workers keep their leases"
            if step >= LEAP:
                count += self._in_portions(ages(), partial(begin_anew, at=at))
                detail += ", and what waits to be delivered has its whole time again"
        seconds = round(step.total_seconds())
        log.warning("clock_stepped", seconds=seconds, count=count, detail=detail)

    def _look_for_older_steps(self, at: datetime) -> None:
        count = self._bring_down([*came_at(), *leases(self._lease)], at, ahead=_STEP)
        count += self._bring_down(due_at(), at, ahead=self._longest_wait)
        if count:
            detail = "they were written while the clock was ahead; what they belong to goes on now"
            log.warning("stamps_in_the_future", count=count, detail=detail)

    def _bring_down(
        self, stamps: Iterable[Stamp], at: datetime, *, ahead: timedelta = timedelta(0)
    ) -> int:
        return self._in_portions(stamps, partial(bring_down, at=at, ahead=ahead))

    def _in_portions(self, stamps: Iterable[Stamp], mend: Callable[[Session, Stamp], int]) -> int:
        count = 0
        for stamp in stamps:
            portion = PORTION
            while portion == PORTION:
                with self._database.writing() as session:
                    portion = mend(session, stamp)
                count += portion
        return count


def clock_steps_of(
    settings: Settings, database: Database, *, monotonic: Callable[[], float]
) -> ClockSteps:
    """Return what a node of these settings sees steps of the ledger's clock with."""
    # Waits vary by a quarter at random.
    longest_wait = timedelta(seconds=1.25 * settings.retry.longest_seconds)
    return ClockSteps(
        database,
        lease=timedelta(seconds=settings.work.lease_seconds),
        longest_wait=max(longest_wait, _LEAST_WAIT),
        monotonic=monotonic,
    )
