"""Slows down whoever tries passwords, alike for names that exist and names that do not."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from dicom_node.errors import NodeError

_FREE: Final = 5
"""Wrong passwords after which one has to wait."""
_FREE_OF_AN_ADDRESS: Final = 20
_FIRST_WAIT_SECONDS: Final = 5.0
_LONGEST_WAIT_SECONDS: Final = 900.0
_FORGOTTEN_SECONDS: Final = 3600.0
_MOST_KEYS: Final = 10_000


class TooManyAttemptsError(NodeError):
    """Wrong passwords were given too often; `seconds` says how long to wait."""

    reason = "too-many-attempts"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many attempts: wait {seconds} s, then try again")
        self.seconds = seconds


class Attempts:
    """Counts wrong passwords of this process by name and address.

    Of a name at one address five are free, of an address twenty; each further one doubles the
    wait, up to a quarter of an hour. Nobody can so lock out a person at another address.

    Parameters
    ----------
    clock : seconds that only grow
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()

    def require_free(self, name: str, address: str) -> None:
        """Raise TooManyAttemptsError while one has to wait."""
        with self._lock:
            left = max(
                self._wait_of((name.casefold(), address), _FREE),
                self._wait_of((address,), _FREE_OF_AN_ADDRESS),
            )
        if left > 0:
            raise TooManyAttemptsError(int(left) + 1)

    def note_wrong(self, name: str, address: str) -> None:
        """Count a wrong password or an unknown name."""
        with self._lock:
            for key in ((name.casefold(), address), (address,)):
                count, _ = self._fresh(key)
                self._known[key] = (count + 1, self._clock())
                self._known.move_to_end(key)
            while len(self._known) > _MOST_KEYS:
                self._known.popitem(last=False)

    def note_right(self, name: str, address: str) -> None:
        """Forget the wrong passwords of a name at an address."""
        with self._lock:
            self._known.pop((name.casefold(), address), None)

    def _fresh(self, key: tuple[str, ...]) -> tuple[int, float]:
        count, last = self._known.get(key, (0, 0.0))
        return (count, last) if self._clock() - last < _FORGOTTEN_SECONDS else (0, 0.0)

    def _wait_of(self, key: tuple[str, ...], free: int) -> float:
        count, last = self._fresh(key)
        if count < free:
            return 0.0
        wait = min(_FIRST_WAIT_SECONDS * 2.0 ** min(count - free, 30), _LONGEST_WAIT_SECONDS)
        return last + wait - self._clock()
