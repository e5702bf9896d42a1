"""Looks up names of hosts without waiting for name servers that are silent or late."""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

_Connected = TypeVar("_Connected")

_KEPT_SECONDS: Final = 60.0
"""How long an answer counts that came when nobody waited for it any more."""

_LOST_SECONDS: Final = 60.0
"""How long an answer may take before the question is asked anew."""

_MOST_QUESTIONS: Final = 4
"""About one host at a time: each that is never answered keeps its thread."""


class _LookUp:
    """One question to the name servers, in a thread that nothing can end."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._asked_at = time.monotonic()
        self._lost: tuple[_LookUp, ...] = ()
        self._answered = threading.Event()
        self._answered_at = 0.0
        self._addresses: tuple[str, ...] = ()
        self._error: Exception | None = None

    def start(self) -> None:
        try:
            threading.Thread(target=self._ask, name="look up", daemon=True).start()
        except (RuntimeError, MemoryError):
            words = "no thread can be started to ask for it: the machine is short of them"
            self._error = socket.gaierror(socket.EAI_AGAIN, words)
            self._answered.set()

    @property
    def is_stale(self) -> bool:
        """Whether it was answered in vain or long ago, or is not answered for so long."""
        if not self._answered.is_set():
            return time.monotonic() - self._asked_at > _LOST_SECONDS
        return not self._addresses or time.monotonic() - self._answered_at > _KEPT_SECONDS

    def may_follow(self, former: "_LookUp") -> bool:
        """Return whether it may be asked while former ones may still wait for their answer."""
        self._lost = tuple(one for one in (former, *former._lost) if not one._answered.is_set())
        return len(self._lost) < _MOST_QUESTIONS

    def addresses(self, seconds: float) -> tuple[str, ...] | None:
        """Wait for the answer; None if it takes longer.

        Raises
        ------
        socket.gaierror
        """
        if not self._answered.wait(seconds):
            return None
        if isinstance(self._error, socket.gaierror) and self._error.errno == socket.EAI_AGAIN:
            raise socket.gaierror(*self._error.args)
        if not self._addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name") from self._error
        return self._addresses

    def _ask(self) -> None:
        try:
            found = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
            self._addresses = tuple(str(address[0]) for *_, address in found)
        except (OSError, UnicodeError) as error:
            self._error = error
        finally:
            self._answered_at = time.monotonic()
            self._answered.set()


_UNDER_WAY: Final[dict[tuple[int, str], _LookUp]] = {}
"""By process, as a forked one has none of these threads, and host. Each change is one step that
needs no lock: one that is held when a process forks would stay so."""


def look_up(host: str, seconds: float) -> tuple[str, ...]:
    """Return the addresses of a host, as numbers; wait no longer than this for them.

    No time-out of a socket and no deadline reaches the resolver, which may wait for minutes: what
    connects is given an address, so that it does not ask again. A question that is not answered
    in time goes on, and the next one about this host has its answer: servers that are always
    late are not asked in vain for ever, and however many attempts there are, one thread waits.
    It is asked anew after a minute, as some are never answered; then a few threads wait.

    Raises
    ------
    socket.gaierror
        The name is unknown, or name servers did not answer in time.
    """
    key = (os.getpid(), host)
    mine = _LookUp(host)
    asked = _UNDER_WAY.setdefault(key, mine)
    if asked.is_stale and mine.may_follow(asked):
        asked = _UNDER_WAY[key] = mine
    if asked is mine:
        mine.start()
    try:
        addresses = asked.addresses(seconds)
    except socket.gaierror:
        _UNDER_WAY.pop(key, None)
        raise
    if addresses is None:
        raise socket.gaierror(socket.EAI_AGAIN, f"no name server answered within {seconds:g} s")
    _UNDER_WAY.pop(key, None)
    return addresses


def connected_to_one_of(
    addresses: Sequence[str], connect: Callable[[str, float], _Connected], seconds: float
) -> _Connected:
    """Connect to the first of a host's addresses at which somebody answers.

    Parameters
    ----------
    connect : given an address and the seconds that it may take, an equal share of those left
    seconds : for all of the addresses together

    Raises
    ------
    OSError
        Why nobody answers at the last of them that was tried.
    """
    give_up_at = time.monotonic() + seconds
    failure: OSError = TimeoutError("no time is left to connect")
    for untried, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        left = give_up_at - time.monotonic()
        if left <= 0:
            break
        try:
            return connect(address, left / untried)
        except OSError as error:
            failure = error
    raise failure
