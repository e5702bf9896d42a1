"""Connections to PostgreSQL on which nobody waits for ever.

The server's own limits end what it still computes, and TCP notices a host that is gone. What is
left is a server, or a proxy before it, that is there and says nothing.
"""

from typing import Any, Final, TypeVar

import psycopg
from psycopg import abc
from psycopg.pq import TransactionStatus

LONGEST_WAIT_SECONDS: Final = 40.0
"""Longest wait for an answer: more than the server takes before it gives up itself."""

_Answer = TypeVar("_Answer")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed once an answer takes too long.

    Attributes
    ----------
    longest_wait : seconds, or None for no limit
    """

    longest_wait: float | None = LONGEST_WAIT_SECONDS

    def wait(
        self, gen: abc.PQGen[_Answer], interval: float = 0.1, timeout: float | None = None
    ) -> _Answer:
        """Wait for one answer of the server.

        Raises
        ------
        psycopg.OperationalError
            None came in time. Nothing is known of what the server has done.
        """
        try:
            return super().wait(gen, interval, self.longest_wait if timeout is None else timeout)
        except psycopg.OperationalError:
            # An answer would have ended the query, whatever it says.
            if self.info.transaction_status is TransactionStatus.ACTIVE:
                self.close()
            raise
