"""Runs deliveries beside the tasks of a process, one at a time for each destination.

A process takes one message at a time. If it sent within its task, an archive that is silent would
hold up every other archive and, where one process serves both queues, the next analysis.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

log = structlog.get_logger("worker.lanes")

SLOW_SECONDS: Final = 5.0
"""Duration of a delivery after which nothing more is kept waiting behind it."""

_SOON: Final = 1.0
_LATER: Final = 10.0

Run = Callable[[int], None]


@dataclass
class _Lane:
    """What runs for one destination, and at most one that waits behind it."""

    running: int
    since: float
    waiting: int | None = None
    timer: threading.Timer | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Lanes:
    """One thread for each destination that is being sent to.

    One further delivery may wait in its lane, so that a healthy archive never waits for us. What
    finds that place taken, or the lane slow, is put off: the ledger has it told again.

    Parameters
    ----------
    put_off : makes a piece of work due again after some seconds
    """

    def __init__(
        self, put_off: Callable[[int, float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._put_off = put_off
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the process ends: nothing more is to be begun."""
        return self._is_closed

    def take(self, name: str, work_id: int, run: Run) -> None:
        """Run a piece of work now or next in its lane, or put it off; never wait."""
        with self._lock:
            lane = self._lanes.get(name)
            if self._is_closed:
                wait = 0.0
            elif lane is None:
                self._begin(name, work_id, run)
                return
            elif work_id in {lane.running, lane.waiting}:
                return
            elif self._clock() - lane.since > SLOW_SECONDS:
                wait = _LATER
            elif lane.waiting is None:
                self._wait_in(lane, work_id)
                return
            else:
                wait = _SOON
        self._put_off(work_id, wait)

    def close(self, seconds: float) -> list[int]:
        """Begin nothing more, and wait a while for what runs; return what still does."""
        with self._lock:
            self._is_closed = True
            lanes = list(self._lanes.values())
            waiting = [self._take_out(lane) for lane in lanes]
        for work_id in waiting:
            if work_id is not None:
                self._put_off(work_id, 0.0)
        give_up_at = self._clock() + seconds
        return [
            lane.running
            for lane in lanes
            if not lane.ended.wait(max(give_up_at - self._clock(), 0))
        ]

    def _begin(self, name: str, work_id: int, run: Run) -> None:
        lane = self._lanes[name] = _Lane(running=work_id, since=self._clock())
        threading.Thread(
            target=self._serve, args=(name, lane, run), name=f"lane {name}", daemon=True
        ).start()

    def _wait_in(self, lane: _Lane, work_id: int) -> None:
        lane.waiting = work_id
        lane.timer = threading.Timer(SLOW_SECONDS, self._end_wait, (lane, work_id))
        lane.timer.daemon = True
        lane.timer.start()

    def _take_out(self, lane: _Lane) -> int | None:
        if lane.timer is not None:
            lane.timer.cancel()
        work_id, lane.waiting, lane.timer = lane.waiting, None, None
        return work_id

    def _end_wait(self, lane: _Lane, work_id: int) -> None:
        with self._lock:
            if lane.waiting != work_id:
                return
            self._take_out(lane)
        try:
            self._put_off(work_id, _LATER)
        except Exception as error:  # the outermost frame of this thread; it is told again anyway
            log.exception("delivery_not_put_off", delivery=work_id, reason=type(error).__name__)

    def _serve(self, name: str, lane: _Lane, run: Run) -> None:
        while True:
            try:
                run(lane.running)
            except Exception as error:  # the outermost frame of this thread
                log.exception("delivery_broke", delivery=lane.running, reason=type(error).__name__)
            with self._lock:
                following = self._take_out(lane)
                if following is None:
                    del self._lanes[name]
                    lane.ended.set()
                    return
                lane.running, lane.since = following, self._clock()
