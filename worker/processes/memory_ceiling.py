"""Has a process that used too much memory replaced, after the study in hand.

A process of a pool ends by Celery's own rule, ``worker_max_memory_per_child``. A worker of
``--pool solo`` is one process, which nothing of Celery would replace: it ends, and whatever started
it starts it again.
"""

import resource
from typing import Final

import structlog
from billiard import current_process
from celery.worker import state

log = structlog.get_logger("worker.memory")

EXIT_STATUS: Final = 1
"""Not 0, so that a service manager that restarts on failure does so."""


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def end_if_grown(ceiling_bytes: int) -> None:
    """Say that this process has passed its ceiling; end the worker if that is all of it."""
    peak = peak_memory_bytes()
    if peak <= ceiling_bytes:
        return
    log.warning("worker_memory_grown", detail=f"{peak} bytes, more than {ceiling_bytes}")
    if current_process().name == "MainProcess":
        # As after SIGTERM: what runs is finished, and its message acknowledged.
        state.should_stop = EXIT_STATUS
