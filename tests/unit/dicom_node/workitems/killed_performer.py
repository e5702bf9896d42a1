"""Performers in processes of their own, each killed at one point of its way.

Run as a program, it loads everything once and then forks a performer for each line of its input:
JSON of the settings, and the number of the point at which it kills itself. It answers each line
with the exit code.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from dicom_node.send.dicomweb_exchange import DicomwebExchange
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.workitems.performer import Performer

KILLED: Final = -signal.SIGKILL
_STEPS: Final = 2


def perform(settings: Settings, kill_at: int) -> None:
    """Work off a worklist; be killed before or after one action.

    Parameters
    ----------
    kill_at : number of the point, counted from 1: before and after each request to the server and
        each transaction that writes; 0: never
    """
    points = 0

    def point() -> None:
        nonlocal points
        points += 1
        if points == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def between(act: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*arguments: Any, **options: Any) -> Any:
            point()
            answer = act(*arguments, **options)
            point()
            return answer

        return acted

    DicomwebExchange.request = between(DicomwebExchange.request)  # type: ignore[method-assign]
    database = Database(settings.ledger_url)
    sessions = database._sessions.class_
    sessions.commit = between(sessions.commit)  # type: ignore[method-assign]
    performer = Performer(settings, Spool(settings.spool, minimum_free_bytes=1), database)
    for _ in range(_STEPS):
        performer.step()


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where the log would go
    for line in sys.stdin:
        values, kill_at = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                perform(Settings(**values), kill_at)
            except BaseException:  # noqa: BLE001  the exit code tells it
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    _serve()
