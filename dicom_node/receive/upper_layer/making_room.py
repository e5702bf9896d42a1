"""Chooses which association is ended for another one where all places are taken.

Whoever opens associations and then says nothing, or next to nothing, must shut nobody out. An
association at work is never ended for another.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

STALLED_SECONDS: Final = 0.5
"""How long an association that has brought nothing yet may do nothing while others wait."""

PAUSE_SECONDS: Final = 1.0
"""The same for an association that has brought an object before."""

_ENOUGH_BYTES: Final = 16_384


class Activity:
    """What an association is doing: noted by the thread that serves it, read by others."""

    def __init__(self) -> None:
        self.has_kept = False
        """Whether an object that came over the association was kept."""
        self._since = time.monotonic()
        self._received = 0
        self._waits = False

    def waits_for_peer(self, waits: bool) -> None:
        """Note whether it is the peer's turn."""
        self._waits = waits

    def received(self, count: int) -> None:
        """Note that so many bytes of an object have come."""
        self._received += count
        if self._received >= _ENOUGH_BYTES:
            self._received, self._since = 0, time.monotonic()

    def kept(self) -> None:
        """Note that an object is safe."""
        self.has_kept, self._since = True, time.monotonic()

    def is_stalled(self, now: float) -> bool:
        """Return whether the peer has done nothing for so long that others come first."""
        patience = PAUSE_SECONDS if self.has_kept else STALLED_SECONDS
        return self._waits and now - self._since >= patience


@dataclass(eq=False, slots=True)
class ServedAssociation:
    """An open association, with the thread that serves it."""

    line: socket.socket
    address: str
    calling_ae_title: str
    activity: Activity = field(default_factory=Activity)
    thread: threading.Thread | None = None
    is_told_to_end: bool = False
    """Whether it was told to make room for another one."""


def association_to_end(
    associations: Collection[ServedAssociation], *, address: str | None, for_known: bool, now: float
) -> ServedAssociation | None:
    """Return the association to end for another one; None if all are at work.

    Parameters
    ----------
    address : where only an association from this address makes room; None: from any
    for_known : bool
        Whether the other one is from an address that has sent before: only for those are
        associations ended that have brought something themselves.
    now : seconds of time.monotonic
    """
    if any(association.is_told_to_end for association in associations):
        return None  # one at a time: its place will be free in a moment
    crowd = Counter(
        (association.address, association.calling_ae_title) for association in associations
    )
    stalled = [
        association
        for association in associations
        if association.activity.is_stalled(now)
        and address in {None, association.address}
        and (for_known or not association.activity.has_kept)
    ]
    return max(
        stalled,
        key=lambda association: (
            not association.activity.has_kept,
            crowd[association.address, association.calling_ae_title],
        ),
        default=None,  # of equals the first, which is the oldest
    )
