"""A way to a service on which everything may vanish from one moment on, as behind a dead router."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class BlackHole:
    """A forwarder of TCP connections.

    Attributes
    ----------
    swallows_new : bool
        Whether connections from now on are accepted and lead nowhere.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.swallows_new = False
        self._sockets: list[socket.socket] = []
        self._swallowed: set[int] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for one in (self._server, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def swallow(self, *, new: bool = False) -> None:
        """Pass nothing on between those that are connected, and keep them connected."""
        self._swallowed.update(map(id, self._sockets))
        self.swallows_new = new

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [here, there]
                if self.swallows_new:
                    self._swallowed.update({id(here), id(there)})
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                if id(source) not in self._swallowed:
                    target.sendall(content)
            # An end is passed on, too, unless it vanishes.
            if id(source) not in self._swallowed:
                target.shutdown(socket.SHUT_WR)
