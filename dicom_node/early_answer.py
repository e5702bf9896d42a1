"""Hears a peer that answers before it was sent everything: such an answer is about nothing."""

import select
import socket
import ssl
from typing import Final

_PART_BYTES: Final = 16_384
"""What is written at a time; one record of TLS."""

_AHEAD_BYTES: Final = 4096
"""Enough to know that the peer has spoken, and what it said."""


def send_and_listen(connection: socket.socket, data: bytes, ahead: bytearray) -> None:
    """Write everything, as `sendall` does, and look before each part whether the peer has spoken.

    What lies on the way when the last part leaves was said before the peer could have it all.

    Parameters
    ----------
    ahead : takes what the peer has said; whoever reads the connection reads this first

    Raises
    ------
    OSError
        The connection has ended, or the peer took nothing within the connection's timeout.
    """
    rest = memoryview(data)
    while rest:
        _wait_until_writable(connection)
        if len(ahead) < _AHEAD_BYTES:
            ahead += _what_has_come(connection)
        rest = rest[connection.send(rest[:_PART_BYTES]) :]


def _wait_until_writable(connection: socket.socket) -> None:
    waiting = select.poll()
    waiting.register(connection, select.POLLOUT)
    seconds = connection.gettimeout()
    if not waiting.poll(None if seconds is None else seconds * 1000):
        raise TimeoutError("the peer takes nothing more")


def _what_has_come(connection: socket.socket) -> bytes:
    """Read without waiting. Of TLS, what is readable need not be data: tickets come, too."""
    seconds = connection.gettimeout()
    connection.settimeout(0)
    try:
        return connection.recv(_AHEAD_BYTES)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b""
    finally:
        connection.settimeout(seconds)
