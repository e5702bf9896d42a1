"""Ends a worker that was told to end and does not, though nothing runs in it any more.

The loop of a worker may be held by a broker that sends a byte now and then: no time-out of a socket
ends that, and the request to end is looked at between two answers.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from celery.worker import state

log = structlog.get_logger("worker.ending")

_LOOK_SECONDS: Final = 0.5


def end_when_told(processes: Callable[[], Sequence[int]], grace_seconds: float) -> None:
    """From now on, end this process if it does not end by itself.

    Parameters
    ----------
    processes : numbers of the processes of its pool, which end with it
    grace_seconds : time in which nothing runs, after it was told to end
    """
    watch = threading.Thread(
        target=_watch, args=(processes, grace_seconds), name="ending", daemon=True
    )
    watch.start()


def _watch(processes: Callable[[], Sequence[int]], grace_seconds: float) -> None:
    busy_at = time.monotonic()
    while time.monotonic() - busy_at < grace_seconds:
        time.sleep(_LOOK_SECONDS)
        if not _is_told() or state.active_requests:
            busy_at = time.monotonic()
    log.critical("worker_hangs", reason="it did not end when it was told to: it ends at once")
    for process in processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(int(state.should_stop or state.should_terminate or 0))


def _is_told() -> bool:
    # None and False stand for no, and 0 for an end without an error.
    told = (state.should_stop, state.should_terminate)
    return any(one is not None and one is not False for one in told)
