"""A way to a service on which everything may vanish from one moment on, as behind a dead router."""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: whoever is closed is told so by a reset."""


class BlackHole:
    """A forwarder of TCP connections; while the service is down, they are reset.

    Attributes
    ----------
    swallows_new : bool
        Whether connections from now on are accepted and lead nowhere.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._server.getsockname()[1]
        self.swallows_new = False
        self._hands_on = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._swallowed: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, and take no more."""
        with self._hands_on:
            sockets = [self._server, *self._sockets]
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def swallow(self, *, new: bool = False) -> None:
        """Pass nothing on between those that are connected, and keep them connected."""
        with self._hands_on:
            self._swallowed |= self._sockets
        self.swallows_new = new

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                threading.Thread(target=self._lead, args=(here,), daemon=True).start()

    def _lead(self, here: socket.socket) -> None:
        try:
            there = socket.create_connection(("127.0.0.1", self._to), timeout=5)
        except OSError:
            here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            here.close()
            return
        there.settimeout(None)
        pair = {here, there}
        with self._hands_on:
            self._sockets |= pair
            if self.swallows_new:
                self._swallowed |= pair
        back = threading.Thread(target=self._pass_on, args=(there, here), daemon=True)
        back.start()
        self._pass_on(here, there)
        back.join()
        for one in pair:
            one.close()
        with self._hands_on:
            self._sockets -= pair
            self._swallowed -= pair

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        ending = socket.SHUT_WR
        try:
            while content := source.recv(65536):
                if source not in self._swallowed:
                    target.sendall(content)
        except OSError:
            ending = socket.SHUT_RDWR
        # An end is passed on, too, unless it vanishes.
        if source not in self._swallowed:
            with suppress(OSError):
                target.shutdown(ending)
