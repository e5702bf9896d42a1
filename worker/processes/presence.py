"""Says in the ledger, from time to time, that this worker is there and what it serves."""

import os
import secrets
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version

import structlog

from dicom_node.errors import NodeError
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.due.workers import BEAT_SECONDS, note_end, note_worker

log = structlog.get_logger("worker.presence")


@dataclass
class Presence:
    """What the ledger is told of this worker, by a thread of its parent process.

    Parameters
    ----------
    url : SQLAlchemy URL of the ledger
    name : as Celery calls the worker
    """

    url: str
    name: str
    queues: Sequence[str]
    processes: int
    _identity: str = field(default_factory=lambda: secrets.token_hex(16))
    _ending: threading.Event = field(default_factory=threading.Event)
    _unforked: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Say it now and every ten seconds, until `end`."""
        # A connection to the ledger must not be there when the pool forks a process.
        os.register_at_fork(
            before=self._unforked.acquire,
            after_in_parent=self._unforked.release,
            after_in_child=self._unforked.release,
        )
        threading.Thread(target=self._beat, name="presence", daemon=True).start()

    def end(self) -> None:
        """Say that this worker ends."""
        self._ending.set()
        self._tell(ends=True)

    def _beat(self) -> None:
        while not self._ending.is_set():
            self._tell(ends=False)
            self._ending.wait(BEAT_SECONDS)

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
                        )
        except (NodeError, DATABASE_TROUBLE, OSError) as error:
            # Whoever needs the ledger says what is wrong with it; this only tells that we live.
            log.debug("presence_not_told", reason=type(error).__name__)
