"""Deadlines of the stages of an analysis: a process that overruns one is ended.

A call that hangs, in a driver or a library, can be ended with its process only. The study goes on
in another process, with the reason.
"""

import faulthandler
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from enum import StrEnum
from typing import Final

import structlog

log = structlog.get_logger("worker.stages")

SECONDS_TO_RECORD: Final = 30.0
"""After this the process ends even if its end could not be recorded: the lease runs out then."""

EXIT_STATUS: Final = 1


class Stage(StrEnum):
    """A part of an analysis, as messages name it."""

    LOADING = "loading the model"
    READING = "reading"
    TESTING = "testing the worker"
    DECODING = "decoding"
    INFERENCE = "inference"
    INTERPRETATION = "interpretation"
    DRAWING = "drawing"
    RECORDING = "recording"


OF_THE_SITE: Final = frozenset({Stage.LOADING, Stage.READING, Stage.TESTING, Stage.RECORDING})
"""Stages of bundle, disk, test images and ledger: no study is the cause of what hangs there."""


class StageDeadlines:
    """Holds each stage to the time that it may take, one piece of work after the other.

    The parts of a stage that is entered several times count together. Once a deadline has passed,
    the work is recorded as overrun by another thread, and the process ends: whatever enters a
    stage or leaves the work meanwhile waits for that. If not even threads run any more, because a
    library holds the interpreter, the process ends all the same, a little later.

    Parameters
    ----------
    end : ends the process

    Attributes
    ----------
    has_passed : whether the present work overran a deadline: nobody may hold it any longer
    overrun : the stage whose deadline it was
    """

    def __init__(self, end: Callable[[int], object] = os._exit) -> None:
        self.has_passed = False
        self.overrun: Stage | None = None
        self._end = end
        self._changed = threading.Condition()
        self._stage: Stage | None = None
        self._since = 0.0
        self._allowed = 0.0
        self._spent: Counter[Stage] = Counter()

    @contextmanager
    def held(self, record: Callable[[str], object]) -> Iterator[None]:
        """Hold the stages of some work to their deadlines, from the first that is entered.

        Parameters
        ----------
        record : is told in words what was overrun, before the process ends

        Raises
        ------
        RuntimeError
            The system starts no further thread; nothing was begun.
        """
        self.has_passed = False
        self._spent.clear()
        # In the context of the work, so that log lines say of which it is.
        context = copy_context()
        watch = threading.Thread(
            target=context.run, args=(self._watch, record), name="stage deadline", daemon=True
        )
        with self._changed:
            self._stage, self._since, self._allowed = Stage.READING, time.monotonic(), float("inf")
        try:
            watch.start()
            yield
        finally:
            with self._changed:
                self._stage = None
                self._changed.notify()
            faulthandler.cancel_dump_traceback_later()
            if watch.is_alive():
                watch.join()

    def enter(self, stage: Stage, seconds: float) -> None:
        """Begin or go on with a stage.

        Parameters
        ----------
        seconds : that all parts of this stage may take together
        """
        with self._changed:
            if self._stage is None:
                return
            now = time.monotonic()
            self._spent[self._stage] += now - self._since  # type: ignore[assignment]
            self._stage, self._since, self._allowed = stage, now, seconds
            self._changed.notify()
            left = max(self._left(), 0)
        # By a thread of C, which runs even while a library holds the interpreter. The lines of code
        # that it writes of each thread show what hangs.
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(
                left + SECONDS_TO_RECORD, exit=True, file=sys.__stderr__
            )

    def in_words(self) -> str:
        """Say how long each stage of the present work has taken so far, in their order."""
        with self._changed:
            spent = self._spent.copy()
            if self._stage is not None:
                spent[self._stage] += time.monotonic() - self._since  # type: ignore[assignment]
        return ", ".join(f"{stage} {spent[stage]:.3f} s" for stage in Stage if stage in spent)

    def _left(self) -> float:
        assert self._stage is not None
        return self._allowed - self._spent[self._stage] - (time.monotonic() - self._since)

    def _watch(self, record: Callable[[str], object]) -> None:
        with self._changed:
            while self._stage is not None:
                left = self._left()
                if left <= 0:
                    self._overrun(self._stage, record)
                    return
                self._changed.wait(min(left, threading.TIMEOUT_MAX))

    def _overrun(self, stage: Stage, record: Callable[[str], object]) -> None:
        self.has_passed, self.overrun = True, stage
        reason = f"analysis overran its deadline of {self._allowed:g} s at stage {stage}"
        log.error("stage_overrun", detail=str(stage), seconds=round(self._allowed))
        # Whoever cannot record it leaves it to the lease, which is not renewed any more.
        with suppress(Exception):
            record(reason)
        self._end(EXIT_STATUS)
