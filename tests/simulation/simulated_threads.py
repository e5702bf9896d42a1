"""What stands for the modules ``threading`` and ``time``: threads and clocks of a schedule."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from schedule import Process, Schedule, Task


class SimulatedThreads:
    """The names of ``threading`` that the node and the worker use."""

    TIMEOUT_MAX = 1e9

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def Thread(  # noqa: N802
        self,
        target: Callable[..., Any],
        args: Sequence[Any] = (),
        name: str = "",
        daemon: bool = False,
    ) -> "Thread":
        return Thread(self._schedule, lambda: target(*args), name)

    def Event(self) -> "Event":  # noqa: N802
        return Event(self._schedule)

    def Lock(self) -> "Lock":  # noqa: N802
        return Lock(self._schedule)

    def Timer(  # noqa: N802
        self, interval: float, function: Callable[..., Any], args: Sequence[Any] = ()
    ) -> "Timer":
        return Timer(self._schedule, interval, lambda: function(*args))


class Thread:
    def __init__(self, schedule: Schedule, action: Callable[[], Any], name: str) -> None:
        self._schedule, self._action, self.name = schedule, action, name
        self._task: Task | None = None

    def start(self) -> None:
        self._task = self._schedule.spawn(self._process(), self.name, self._action)

    def join(self, timeout: float | None = None) -> None:
        self._schedule.wait("join", lambda: self._task is None or self._task.is_done, timeout)

    def _process(self) -> Process:
        task = self._schedule.current
        assert task is not None, "only simulated code starts threads"
        return task.process


class Event:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        return self._schedule.wait("wait", self.is_set, timeout)


class Lock:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._is_free = True

    def __enter__(self) -> None:
        if not self._is_free:
            self._schedule.wait("lock", lambda: self._is_free, None)
        self._is_free = False

    def __exit__(self, *_: object) -> None:
        self._is_free = True


class Timer:
    daemon = True

    def __init__(self, schedule: Schedule, seconds: float, action: Callable[[], Any]) -> None:
        self._is_cancelled = False

        def run() -> None:
            if not schedule.wait("timer", lambda: self._is_cancelled, seconds):
                action()

        self._thread = Thread(schedule, run, "timer")

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        self._is_cancelled = True


class SimulatedTime:
    """The names of ``time`` that the node and the worker use."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def monotonic(self) -> float:
        return self._schedule.now

    def time(self) -> float:
        return self._schedule.now

    def time_ns(self) -> int:
        return int(self._schedule.now * 1e9)

    def thread_time(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self._schedule.sleep(seconds)


def simulated_datetime(schedule: Schedule) -> type[datetime]:
    """Return what stands for ``datetime.datetime``; its instants are plain ones."""

    class SimulatedDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(schedule.now, tz or UTC)

    return SimulatedDatetime
