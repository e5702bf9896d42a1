"""Runs deliveries beside the tasks of a process, one at a time for each destination.

A process takes one message at a time. If it sent within its task, an archive that is silent would
hold up every other archive and, where one process serves both queues, the next analysis.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

log = structlog.get_logger("worker.lanes")

SLOW_SECONDS: Final = 3.0
"""Duration of a delivery after which nothing more is kept waiting behind it."""

_PLACES: Final = 8
"""How many may wait in a lane: the last begins before the dispatcher takes its message for lost."""

_SOON: Final = 1.0
_LATER: Final = 5.0

Run = Callable[[int], None]


@dataclass
class _Lane:
    """What runs for one destination, and what waits behind it."""

    running: int
    since: float
    waiting: deque[int] = field(default_factory=deque)
    timer: threading.Timer | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Lanes:
    """One thread for each destination that is being sent to.

    Some deliveries may wait in their lane, so that a healthy archive never waits for us. What
    finds no place, or the lane slow, is put off: the ledger has it told again.

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
        """Run a piece of work now or later in its lane, or put it off; never wait."""
        with self._lock:
            lane = self._lanes.get(name)
            if self._is_closed:
                wait = 0.0
            elif lane is None:
                if self._has_begun(name, work_id, run):
                    return
                wait = _LATER
            elif work_id == lane.running or work_id in lane.waiting:
                return
            elif self._clock() - lane.since > SLOW_SECONDS:
                wait = _LATER
            elif len(lane.waiting) < _PLACES:
                lane.waiting.append(work_id)
                if self._is_timed(lane):
                    return
                lane.waiting.pop()
                wait = _LATER
            else:
                wait = _SOON
        self._put_off(work_id, wait)

    def close(self, seconds: float) -> list[int]:
        """Begin nothing more, and wait a while for what runs; return what still does."""
        with self._lock:
            self._is_closed = True
            lanes = list(self._lanes.values())
            waiting = [work_id for lane in lanes for work_id in self._empty(lane)]
        for work_id in waiting:
            self._put_off(work_id, 0.0)
        give_up_at = self._clock() + seconds

        def ends(lane: _Lane) -> bool:
            return lane.ended.wait(max(give_up_at - self._clock(), 0))

        return [lane.running for lane in lanes if not ends(lane)]

    def _has_begun(self, name: str, work_id: int, run: Run) -> bool:
        """Open a lane; return whether that was possible."""
        lane = _Lane(running=work_id, since=self._clock())
        thread = threading.Thread(
            target=self._serve, args=(name, lane, run), name=f"lane {name}", daemon=True
        )
        # It ends its lane under the lock that is held here.
        if not _has_started(thread):
            return False
        self._lanes[name] = lane
        return True

    def _is_timed(self, lane: _Lane) -> bool:
        """Let nothing wait behind what runs now for longer than it may; whether that is so."""
        if lane.timer is None and lane.waiting:
            timer = threading.Timer(SLOW_SECONDS, self._end_wait, (lane, lane.running))
            timer.daemon = True
            if not _has_started(timer):
                return False
            lane.timer = timer
        return True

    def _stop_timing(self, lane: _Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None

    def _empty(self, lane: _Lane) -> list[int]:
        self._stop_timing(lane)
        waiting = list(lane.waiting)
        lane.waiting.clear()
        return waiting

    def _end_wait(self, lane: _Lane, behind: int) -> None:
        with self._lock:
            waiting = self._empty(lane) if lane.running == behind else []
        self._put_all_off(waiting)

    def _put_all_off(self, waiting: list[int]) -> None:
        try:
            for work_id in waiting:
                self._put_off(work_id, _LATER)
        except Exception as error:  # the outermost frame of this thread; they are told again anyway
            log.exception("delivery_not_put_off", reason=type(error).__name__)

    def _serve(self, name: str, lane: _Lane, run: Run) -> None:
        try:
            while not lane.ended.is_set():
                try:
                    run(lane.running)
                except Exception as error:  # the outermost frame of this thread
                    reason = type(error).__name__
                    log.exception("delivery_broke", delivery=lane.running, reason=reason)
                self._put_all_off(self._go_on(name, lane))
        finally:
            # Whatever ended this thread: a lane that nobody serves would take all that comes.
            with self._lock:
                self._end(name, lane)
                waiting = self._empty(lane)
            self._put_all_off(waiting)

    def _go_on(self, name: str, lane: _Lane) -> list[int]:
        """Turn to what waits next, or end the lane; return what cannot wait behind that."""
        with self._lock:
            self._stop_timing(lane)
            if not lane.waiting:
                self._end(name, lane)
                return []
            lane.running, lane.since = lane.waiting.popleft(), self._clock()
            return [] if self._is_timed(lane) else self._empty(lane)

    def _end(self, name: str, lane: _Lane) -> None:
        if self._lanes.get(name) is lane:
            del self._lanes[name]
        lane.ended.set()


def _has_started(thread: threading.Thread) -> bool:
    """Start a thread; return whether the system had one to give."""
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        log.warning("thread_not_started", kind=thread.name, reason=type(error).__name__)
        return False
    return True
