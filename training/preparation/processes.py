"""Work on many files by several processes, of which one may die without taking others along."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from typing import Final, TypeVar

from training.errors import TrainingError

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

_AHEAD: Final = 2
"""Jobs a process that are handed out: one to work on, one that waits beside it."""


class ProcessDiedError(TrainingError):
    """The process that worked on this file died: out of memory, or killed by a decoder."""


def worked(
    work: Callable[[_Job], _Result], jobs: Iterable[_Job], processes: int
) -> Iterator[tuple[_Job, _Result | ProcessDiedError]]:
    """Yield each job with its result, in the order in which they are done.

    What a job raises is raised here and ends the work; a job whose process dies is tried again
    alone, and yields an error if it dies again.

    Parameters
    ----------
    work : function of a module, for another process has to find it
    """
    left = deque(jobs)
    while left:
        suspects: list[_Job] = []
        with _pool(processes) as pool:
            running: dict[Future[_Result], _Job] = {}
            while left or running:
                while left and len(running) < _AHEAD * processes and not suspects:
                    try:
                        running[pool.submit(work, left[0])] = left[0]
                    except BrokenProcessPool:
                        break
                    left.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        suspects.append(job)
                    else:
                        yield job, result
                if suspects and not running:
                    break
        for job in suspects:
            yield job, _alone(work, job)


def _alone(work: Callable[[_Job], _Result], job: _Job) -> _Result | ProcessDiedError:
    with _pool(1) as pool:
        try:
            return pool.submit(work, job).result()
        except BrokenProcessPool:
            return ProcessDiedError("the process that read it died: out of memory, or a decoder")


def _pool(processes: int) -> ProcessPoolExecutor:
    # Forked from a server that has no threads, and has imported what is slow to import.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.preparation.picture"])
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_begin)


def _begin() -> None:
    """Share the cores with the other processes, and end with the one that started this."""
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the parent was killed: a pool's worker would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
