"""Tells whether a message speaks of the ledger that this worker has.

A worker with the settings of another node would find no such work, or other work under the same
number. Two nodes that use one broker by mistake mix their messages in its queues.
"""

from contextlib import closing
from typing import Final

import structlog

from dicom_node.errors import LedgerError
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database, no_answer
from dicom_node.studies.ledger.schema import OtherSchemaError
from worker.queue.messages import WorkMessage

log = structlog.get_logger("worker.ledger")

FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 30.0
_ANOTHER: Final = (
    "messages of the broker speak of another ledger than this worker has. They are put back. "
    "Start the worker with the settings of the node that sends them (spool or url under [ledger]), "
    "or give every node a broker of its own (url or key_prefix under [broker])"
)


class OwnLedger:
    """The ledger of this worker's settings, as its parent process sees it.

    Parameters
    ----------
    url : SQLAlchemy URL
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._names: frozenset[str] = frozenset()
        self._refused = 0

    @property
    def wait_seconds(self) -> float:
        """Return how long to take nothing: longer with each message of another ledger in turn.

        Where two nodes share a broker by mistake, the work of this one goes on between.
        """
        doubled = FIRST_WAIT_SECONDS * 2.0 ** min(max(self._refused - 1, 0), 10)
        return min(doubled, LONGEST_WAIT_SECONDS)

    def is_named_by(self, message: WorkMessage) -> bool:
        """Return whether a message speaks of this ledger; if not, say so and what to do."""
        # A node of an earlier version names none.
        if not message.ledger or message.ledger in self._names:
            self._refused = 0
            return True
        reason, is_of_other_schema = _ANOTHER, False
        try:
            self._names = self._look()
        except OtherSchemaError as error:
            reason, is_of_other_schema = f"{error}. Messages are put back", True
        except LedgerError as error:
            reason = f"{error}. If its node has one: {_ANOTHER}"
        if message.ledger in self._names:
            self._refused = 0
            return True
        self._refused += 1
        if is_of_other_schema:
            log.error("ledger_of_another_version", task=message.task, reason=reason)
        else:
            log.error("message_of_another_ledger", task=message.task, reason=reason)
        return False

    def _look(self) -> frozenset[str]:
        """Return how messages name the ledger: those of an earlier version by its identity."""
        # Closed at once: a connection to the ledger must not be there when the pool forks.
        with closing(Database(self._url)) as database:
            try:
                return frozenset({database.name_in_messages(), database.identity()})
            except DATABASE_TROUBLE as error:
                raise no_answer(error) from error
