"""Work on threads: results in order and computed ahead, or one result later."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_ahead(
    items: Iterable[_Item], work: Callable[[_Item], _Result], *, threads: int, ahead: int, name: str
) -> Iterator[_Result]:
    """Yield the result of each item in order, while the next ones are worked on.

    Parameters
    ----------
    ahead : 0 or more
        Results that may wait to be taken, besides one a thread that is being worked on.
    name : word
        What the threads are called.
    """
    pending: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= ahead + threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def start_thread(work: Callable[[], _Result], *, name: str) -> Future[_Result]:
    """Start work on a thread of its own, which ends with it; the future holds its result.

    Parameters
    ----------
    name : word
        What the thread is called.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)
