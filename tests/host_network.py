"""Hosts on one switch, each a network namespace of the tests' own, whose cables can be pulled."""

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, run
from typing import Final

from services import missing, require_program

_CLONE_NEWNET: Final = 0x40000000

_SWITCH: Final = "switch"


class HostNetwork:
    """A switch and the hosts at it, on a network that nothing else of the machine sees.

    A thread that is `at` a host, and each process and thread that it starts there, has that
    host's network alone. Needs the rights of root.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._program = require_program("ip")
        self.addresses = {name: f"10.77.0.{number}" for number, name in enumerate(hosts, start=1)}
        self._namespaces = {name: f"mm{os.getpid()}-{name}" for name in (*self.addresses, _SWITCH)}

    def __enter__(self) -> "HostNetwork":
        try:
            for namespace in self._namespaces.values():
                self._ip("netns", "add", namespace)
            self._at(_SWITCH, "link", "add", "name", _SWITCH, "type", "bridge")
            self._at(_SWITCH, "link", "set", "dev", _SWITCH, "up")
            for name, address in self.addresses.items():
                self._plug_in(name, address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in self._namespaces.values():
            run([self._program, "netns", "delete", namespace], check=False, stderr=PIPE)

    @contextmanager
    def at(self, name: str) -> Iterator[str]:
        """Have this thread, and what it starts, at a host; yields the host's address."""
        with Path("/proc/thread-self/ns/net").open() as before:
            with Path("/run/netns", self._namespaces[name]).open() as host:
                _enter(host.fileno())
            try:
                yield self.addresses[name]
            finally:
                _enter(before.fileno())

    def cut_off(self, *names: str) -> None:
        """Pull the cables of hosts: what they send is lost, and nobody tells them."""
        for name in names:
            self._at(_SWITCH, "link", "set", "dev", name, "down")

    def bring_back(self, *names: str) -> None:
        """Plug the cables of hosts in again."""
        for name in names:
            self._at(_SWITCH, "link", "set", "dev", name, "up")

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Keep hosts cut off until the block ends."""
        self.cut_off(*names)
        try:
            yield
        finally:
            self.bring_back(*names)

    def _plug_in(self, name: str, address: str) -> None:
        peer = ("peer", "name", "eth0", "netns", self._namespaces[name])
        self._at(_SWITCH, "link", "add", "name", name, "type", "veth", *peer)
        self._at(_SWITCH, "link", "set", "dev", name, "master", _SWITCH, "up")
        self._at(name, "address", "add", f"{address}/24", "dev", "eth0")
        self._at(name, "link", "set", "dev", "eth0", "up")
        self._at(name, "link", "set", "dev", "lo", "up")

    def _at(self, name: str, *arguments: str) -> None:
        self._ip("-n", self._namespaces[name], *arguments)

    def _ip(self, *arguments: str) -> None:
        done = run([self._program, *arguments], check=False, stderr=PIPE, text=True)
        if done.returncode != 0:
            missing(f"no network namespaces here (ip {' '.join(arguments)}): {done.stderr.strip()}")


def _enter(namespace: int) -> None:
    """Move this thread alone to a network namespace."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
