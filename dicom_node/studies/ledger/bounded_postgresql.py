"""Connections to PostgreSQL on which nobody waits for ever.

The server's own limits end what it still computes, and TCP notices a host that is gone. What is
left is a server, or a proxy before it, that is there and says nothing.
"""

import math
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import abc
from psycopg.pq import TransactionStatus

from dicom_node.name_lookup import look_up

LONGEST_WAIT_SECONDS: Final = 40.0
"""Longest wait for an answer: more than the server takes before it gives up itself."""

_LOOK_UP_SECONDS: Final = 5.0
"""Longest wait for the address of a server: no limit of libpq reaches the resolver."""

_Answer = TypeVar("_Answer")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed once an answer takes too long.

    Attributes
    ----------
    longest_wait : seconds, or None for no limit
    """

    longest_wait: float | None = LONGEST_WAIT_SECONDS

    @classmethod
    def connect(cls, *values: Any, **options: Any) -> Self:
        """Connect once the address of a server is known that is given by its name.

        Raises
        ------
        psycopg.OperationalError
            There is none, or no name server answers, or the server does not.
        """
        host = str(options.get("host") or "")
        # A folder of a socket has no address, and of several servers one may have.
        is_one_name = host and not host.startswith(("/", "@")) and "," not in host
        if is_one_name and not options.get("hostaddr"):
            try:
                addresses = look_up(host, _LOOK_UP_SECONDS)
            except OSError as error:
                raise psycopg.OperationalError(f"the ledger's server: {error}") from error
            # libpq pairs each address with a name, by which TLS knows the server, and asks nobody.
            options["hostaddr"] = ",".join(addresses)
            options["host"] = ",".join([host] * len(addresses))
            # The library would wait for so long at each of them; it knows no parts of a second.
            if str(seconds := options.get("connect_timeout", "")).isdecimal():
                options["connect_timeout"] = math.ceil(int(seconds) / len(addresses))
        return super().connect(*values, **options)

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
