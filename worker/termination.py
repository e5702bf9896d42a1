"""Who may end a process of the pool: the worker that started it, and nobody beside it.

Service managers send SIGTERM to every process of a service at once. The worker then takes nothing
more and waits for what runs; a process of its pool that ended by the same signal would lose the
analysis on which the worker waits.
"""

import os
import signal
import threading


def end_at_the_parents_signal_only() -> None:
    """Ignore SIGTERM in this process unless its parent sent it, which does so to end at once.

    SIGUSR1 is ignored as well, by which a study would fail at an error that is not its own.

    Must be called before the process has other threads: those inherit the blocked signal.
    """
    # Celery's way to break off a task, which this worker never does: only others send it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    threading.Thread(target=_watch, args=(os.getppid(),), name="termination", daemon=True).start()


def _watch(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os.kill(os.getpid(), signal.SIGKILL)
