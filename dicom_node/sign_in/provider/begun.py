"""Sign-ins that were begun at the provider and may come back: once, soon, in the same browser."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dicom_node.errors import NodeError
from dicom_node.sign_in.sign_ins import digest_of

LONGEST_SECONDS: Final = 600
"""How long a person may take at the provider."""
_MOST: Final = 10_000
_MOST_OF_AN_ADDRESS: Final = 500
"""Of more than so many at once the oldest is forgotten: nobody can fill the memory."""


class NotBegunHereError(NodeError):
    """No sign-in was begun in this browser that this answer of the provider belongs to."""

    reason = "sign-in-not-begun-here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """One sign-in that was begun.

    Attributes
    ----------
    state : by which the provider's answer is known
    nonce : that the provider's ID token must hold
    code_verifier : without which nobody can use the provider's code (RFC 7636)
    browser_secret : which only this browser keeps
    path : of the page that was asked for
    """

    state: str
    nonce: str
    code_verifier: str
    browser_secret: str
    path: str


class BegunSignIns:
    """The sign-ins of this process that were begun.

    Parameters
    ----------
    clock : seconds that only grow
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Begun, str, float]] = OrderedDict()

    def begin(self, path: str, address: str) -> Begun:
        """Begin one, of a browser at an address."""
        begun = Begun(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            code_verifier=secrets.token_urlsafe(48),
            browser_secret=secrets.token_urlsafe(32),
            path=path,
        )
        with self._lock:
            self._forget_old(address)
            self._known[digest_of(begun.state)] = (begun, address, self._clock())
        return begun

    def take(self, state: str, browser_secret: str) -> Begun:
        """Return the one that an answer belongs to, and forget it.

        Raises
        ------
        NotBegunHereError
            There is none: it took too long, came back before, or began in another browser.
        """
        with self._lock:
            found = self._known.get(digest_of(state))
            if found is not None:
                begun, _, at = found
                is_this_browser = secrets.compare_digest(
                    digest_of(begun.browser_secret), digest_of(browser_secret)
                )
                # One of another browser stays: a stranger must not end it.
                if is_this_browser:
                    del self._known[digest_of(state)]
                    if self._clock() - at <= LONGEST_SECONDS:
                        return begun
        raise NotBegunHereError(
            "this sign-in was not begun in this browser, took longer than "
            f"{LONGEST_SECONDS // 60} minutes, or was used already: begin it again"
        )

    def _forget_old(self, address: str) -> None:
        now = self._clock()
        while self._known and now - next(iter(self._known.values()))[2] > LONGEST_SECONDS:
            self._known.popitem(last=False)
        own = [key for key, (_, where, _) in self._known.items() if where == address]
        if len(own) >= _MOST_OF_AN_ADDRESS:
            del self._known[own[0]]
        while len(self._known) >= _MOST:
            self._known.popitem(last=False)
