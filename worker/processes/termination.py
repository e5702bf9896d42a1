"""Who may end a process of the pool: the worker that started it, and nobody beside it.

Service managers send SIGTERM to every process of a service at once. The worker then takes nothing
more and waits for what runs; a process of its pool that ended by the same signal would lose the
analysis on which the worker waits.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Final

LAST_SECONDS: Final = 5.0
"""Time that a process has for what it does last."""


def end_at_the_parents_signal_only(do_last: Callable[[], object]) -> None:
    """Ignore SIGTERM in this process unless its parent sent it, which does so to end at once.

    A worker does so after SIGQUIT, or a second Ctrl-C.

    SIGUSR1 is ignored as well, by which a study would fail at an error that is not its own.

    Must be called before the process has other threads: those inherit the blocked signal.

    Parameters
    ----------
    do_last : is called before the end, in a thread that is waited for a few seconds
    """
    # Celery's way to break off a task, which this worker never does: only others send it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    watch = threading.Thread(
        target=_watch, args=(os.getppid(), do_last), name="termination", daemon=True
    )
    watch.start()


def _watch(parent: int, do_last: Callable[[], object]) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    last = threading.Thread(target=do_last, name="last", daemon=True)
    with contextlib.suppress(RuntimeError):  # a machine that is short of threads
        last.start()
        last.join(LAST_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
