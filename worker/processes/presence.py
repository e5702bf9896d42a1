"""Says in the ledger, from time to time, that this worker is there and what it serves."""

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

import structlog

from dicom_node.errors import NodeError
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.due.workers import BEAT_SECONDS, note_end, note_worker

log = structlog.get_logger("worker.presence")

_LOOK_SECONDS: Final = 1.0
"""How often it looks whether there is a new trouble."""

_LAST_SECONDS: Final = 5.0
"""Longest wait for the ledger at the end of a worker."""


@dataclass
class Presence:
    """What the ledger is told of this worker, by a thread of its parent process.

    Parameters
    ----------
    url : SQLAlchemy URL of the ledger
    name : as Celery calls the worker
    trouble : says why the worker takes nothing; empty while it knows of no reason
    """

    url: str
    name: str
    queues: Sequence[str]
    processes: int
    trouble: Callable[[], str] = str
    _untold: str = ""
    _identity: str = field(default_factory=lambda: secrets.token_hex(16))
    _ending: threading.Event = field(default_factory=threading.Event)
    _unforked: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Say it now, every ten seconds and with every new trouble, until `end`."""
        # A connection to the ledger must not be there when the pool forks a process.
        os.register_at_fork(
            before=self._unforked.acquire,
            after_in_parent=self._unforked.release,
            after_in_child=self._unforked.release,
        )
        threading.Thread(target=self._beat, name="presence", daemon=True).start()

    def end(self) -> None:
        """Say that this worker ends, if the ledger is found in time."""
        self._ending.set()
        last = threading.Thread(target=self._tell, kwargs={"ends": True}, daemon=True)
        with suppress(RuntimeError):  # a machine that is short of threads
            last.start()
            last.join(_LAST_SECONDS)

    def _beat(self) -> None:
        told, tell_at = "", float("-inf")
        while not self._ending.wait(0 if tell_at < 0 else _LOOK_SECONDS):
            trouble = self.trouble()
            if trouble != told or time.monotonic() >= tell_at:
                self._tell(ends=False)
                told, tell_at = trouble, time.monotonic() + BEAT_SECONDS

    def _tell(self, *, ends: bool) -> None:
        try:
            with self._unforked, closing(Database(self.url)) as database:
                # Without tables there is no node yet; a ledger of another release is not written.
                database.require_schema()
                with database.writing() as session:
                    if ends:
                        note_end(session, self._identity)
                    else:
                        note_worker(
                            session,
                            self._identity,
                            name=self.name,
                            queues=self.queues,
                            processes=self.processes,
                            version=version("mammoclip-dicom"),
                            trouble=self.trouble(),
                        )
        except (NodeError, DATABASE_TROUBLE, OSError) as error:
            reason = type(error).__name__
            # Every ten seconds the same: said once, and again when it was well in between.
            if reason != self._untold:
                log.warning("presence_not_told", reason=reason)
            self._untold = reason
        else:
            self._untold = ""
