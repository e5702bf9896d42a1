"""Bounds the duration of what the node exchanges with a peer, whatever the libraries wait for.

A timeout of a socket counts from byte to byte: a peer that sends one each second never exceeds it.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self


class Deadline:
    """Shuts down connections whose exchange lasts too long, so that nobody reads or writes on.

    It shuts down what the operating system holds, through a descriptor of its own: this also ends
    a call that waits in another thread, and works however a library wraps the connection in TLS.
    What was shut down stays so, and `passed` is then true for good. A context manager: the
    connections end with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptors: list[socket.socket] = []
        self._closers: list[Callable[[], None]] = []
        self._passed = False
        self._end_at = float("inf")

    @property
    def seconds_left(self) -> float:
        """Time that the present exchange may still take, for what is not connected yet; 0 or more.

        Infinite while there is no exchange.
        """
        return max(self._end_at - time.monotonic(), 0.0)

    @property
    def passed(self) -> bool:
        """Whether an exchange lasted too long."""
        return self._passed

    def guard(self, connection: socket.socket, *, close: Callable[[], None] = lambda: None) -> None:
        """Hold a connection to the deadline; one that is opened too late is shut down at once.

        Parameters
        ----------
        close : closes the connection if a library has left it open: a peer that sends without end
            would wait for ever on one that is only shut down
        """
        with self._lock:
            self._descriptors.append(connection.dup())
            self._closers.append(close)
            if self._passed:
                self._shut_down()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Hold an exchange on the guarded connections to a duration."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        self._end_at = time.monotonic() + seconds
        try:
            yield
        finally:
            timer.cancel()
            self._end_at = float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            # A library's thread may still wait for a peer with which nobody speaks any more.
            self._shut_down()
            for descriptor in self._descriptors:
                descriptor.close()
            self._descriptors.clear()
            closers, self._closers = self._closers, []
        for close in closers:
            close()

    def _end(self) -> None:
        with self._lock:
            self._passed = True
            self._shut_down()

    def _shut_down(self) -> None:
        for descriptor in self._descriptors:
            # Not connected yet, or not any more.
            with contextlib.suppress(OSError):
                descriptor.shutdown(socket.SHUT_RDWR)
