"""A seeded scheduler: simulated processes take one step at a time, in an order that a seed decides.

Everything runs in one thread, as greenlets. Code of the product goes on until it does something
that others can see (a statement, a change of names on disk, a message, a wait); there it stops, and
the seed says who goes on. Time is simulated: it passes with the steps, and leaps where all wait.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent, greenlet

BEGINS_AT = 1_772_616_600.0
"""When each schedule begins, in seconds since 1970."""

_LONGEST_STEP_SECONDS = 0.02


class GoneError(BaseException):
    """Ends the code of a process that was killed; whatever it still wants to do, it does not."""


class NeverQuietError(AssertionError):
    """Something waits for ever, or goes on for ever."""


@dataclass(eq=False)
class Process:
    """A simulated process with its threads: they stop together, and are gone together."""

    name: str
    is_gone: bool = False
    stands_still_until: float = 0.0


@dataclass(eq=False)
class Task:
    """One thread of a process.

    Attributes
    ----------
    ready : what it waits for; None if for nothing but its turn
    wakes_at : when it goes on all the same
    """

    process: Process
    name: str
    line: greenlet = field(default_factory=greenlet)
    ready: Callable[[], object] | None = None
    wakes_at: float | None = None
    slow_until: float = 0.0
    is_done: bool = False

    def may_go_on(self, now: float) -> bool:
        if self.slow_until > now or self.process.stands_still_until > now:
            return False
        if self.ready is None and self.wakes_at is None:
            return True
        if self.wakes_at is not None and self.wakes_at <= now:
            return True
        return self.ready is not None and bool(self.ready())

    def next_look(self, now: float) -> float | None:
        """Return when it may go on, whatever the others do; None if never."""
        held = max(self.slow_until, self.process.stands_still_until)
        if self.wakes_at is None and (self.ready is not None and not self.ready()):
            return None
        return max(held, self.wakes_at if self.wakes_at is not None else now)


class Schedule:
    """One schedule: the order of all steps follows from the seed.

    Parameters
    ----------
    before_each_step : is told the number of the step, and may kill processes
    settle : waits until nothing outside, as a database server, is still at work
    """

    def __init__(
        self,
        seed: int,
        *,
        before_each_step: Callable[[int], None] = lambda _: None,
        settle: Callable[[list[Task]], None] = lambda _: None,
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now = BEGINS_AT
        self.steps = 0
        self.trouble: list[str] = []
        self.before_each_step = before_each_step
        self.settle = settle
        self._tasks: list[Task] = []
        self._by_line: dict[greenlet, Task] = {}
        self._trace: list[tuple[str, str]] = []
        self._main = getcurrent()
        # Some schedules switch at every step, others seldom: few switches find other faults.
        self._constancy = self.random.choice((0.0, 0.5, 0.9))
        self._last: Task | None = None

    @property
    def current(self) -> Task | None:
        """Return whose step this is; None for whoever looks from outside."""
        return self._by_line.get(getcurrent())

    def spawn(self, process: Process, name: str, action: Callable[[], Any]) -> Task:
        """Begin a thread of a process."""
        task = Task(process, f"{process.name}/{name}")

        def run() -> None:
            try:
                action()
            except GoneError:
                pass
            except Exception as error:  # noqa: BLE001  told at the end of the schedule
                self.trouble.append(f"{task.name} ended: {type(error).__name__}: {error}")
            finally:
                task.is_done = True

        task.line = greenlet(run, parent=self._main)
        self._tasks.append(task)
        self._by_line[task.line] = task
        return task

    def step(self, what: str) -> None:
        """Stop before something that others can see, until the seed lets this thread go on."""
        self.wait(what, None, None)

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""
        self.wait("sleep", None, max(seconds, 0.0))

    def wait(self, what: str, ready: Callable[[], object] | None, seconds: float | None) -> bool:
        """Wait until something is so, or for some time; return whether it is."""
        task = self.current
        if task is not None:
            if task.process.is_gone:
                raise GoneError
            task.ready = ready
            task.wakes_at = None if seconds is None else self.now + max(seconds, 0.0)
            self._trace.append((task.name, what))
            self._main.switch()
            task.ready = task.wakes_at = None
            if task.process.is_gone:
                raise GoneError
        return ready is None or bool(ready())

    def kill(self, process: Process) -> None:
        """Let a process vanish where it stands; called by nobody who is in it."""
        process.is_gone = True
        self._trace.append((process.name, "killed"))
        for task in self._tasks:
            if task.process is process and not task.is_done:
                task.is_done = True
                if task.line:
                    task.line.throw(GoneError)
        self._forget_done()

    def note(self, what: str) -> None:
        """Leave a line in the trace."""
        self._trace.append(("-", what))

    def run(self, is_quiet: Callable[[], bool], *, most_steps: int, most_seconds: float) -> None:
        """Run until everything is quiet.

        Raises
        ------
        NeverQuietError
        """
        while True:
            self.settle(self._tasks)
            able = [task for task in self._tasks if task.may_go_on(self.now)]
            if not able:
                if is_quiet():
                    return
                self._leap()
                if self.now - BEGINS_AT > most_seconds:
                    raise NeverQuietError(f"not quiet after {most_seconds:g} simulated seconds")
                continue
            self.steps += 1
            if self.steps > most_steps:
                raise NeverQuietError(f"not quiet after {most_steps} steps")
            self.before_each_step(self.steps)
            self._go_on([task for task in able if not task.is_done])

    def end(self) -> list[Process]:
        """End what still waits; return the processes that it was of."""
        processes = list({task.process: None for task in self._tasks})
        for process in processes:
            self.kill(process)
        return processes

    def digest(self) -> str:
        """Return what tells this order of steps from every other."""
        return hashlib.sha256(repr(self._trace).encode()).hexdigest()

    def last_steps(self, count: int) -> Iterator[str]:
        """Yield the end of the trace, a line for each step."""
        for who, what in self._trace[-count:]:
            yield f"{who:<24} {' '.join(what.split())[:110]}"

    def _go_on(self, able: list[Task]) -> None:
        if not able:
            return
        if self._last not in able or self.random.random() >= self._constancy:
            self._last = self.random.choice(able)
        assert self._last is not None
        self._last.line.switch()
        self.now += self.random.random() * _LONGEST_STEP_SECONDS
        self._forget_done()

    def _leap(self) -> None:
        looks = [at for task in self._tasks if (at := task.next_look(self.now)) is not None]
        if not looks:
            waiting = ", ".join(task.name for task in self._tasks)
            raise NeverQuietError(f"all wait for each other: {waiting}")
        self.now = max(self.now, min(looks)) + 1e-6

    def _forget_done(self) -> None:
        if any(task.is_done for task in self._tasks):
            for task in self._tasks:
                if task.is_done:
                    self._by_line.pop(task.line, None)
            self._tasks = [task for task in self._tasks if not task.is_done]
