"""Ends the processes of a worker's pool that somebody has stopped, with what they hold.

Each process holds its own stages to their deadlines (`worker.stages`); one that is stopped, as by
SIGSTOP, a debugger or a batch system, watches nothing, and its worker would wait for it for ever.
"""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger("worker.pool")

_STOPPED: Final = frozenset({"T", "t"})
"""States of a process that was stopped, by a signal or by whoever traces it (proc(5))."""


class FrozenProcesses:
    """Ends what is found stopped in two looks in turn.

    Parameters
    ----------
    processes : returns the numbers of the processes
    """

    def __init__(self, processes: Callable[[], Iterable[int]]) -> None:
        self._processes = processes
        self._suspected: set[int] = set()

    def look(self) -> None:
        """Look once. The work of a process that is ended is done by the next one."""
        stopped = {one for one in self._processes() if _state_of(one) in _STOPPED}
        for process in stopped & self._suspected:
            log.error(
                "process_frozen",
                detail=f"process {process}",
                reason="a process of the worker was stopped from outside and did nothing: it is "
                "ended, and its work is done by another one",
            )
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._suspected = stopped - self._suspected


def _state_of(process: int) -> str:
    """Return the letter of a process's state; empty if it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # Behind the name, which may hold anything.
    return fields.rpartition(")")[2].split()[0]
