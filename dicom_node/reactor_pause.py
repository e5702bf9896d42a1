"""Holds the thread with which the library serves an association while requests are made on it."""

import threading
from threading import Condition, Thread
from typing import Final

from pynetdicom.association import Association

_LOOKING_SECONDS: Final = 0.05
"""How often it is looked whether the thread has ended, which wakes nobody."""


def pause_exactly(association: Association) -> None:
    """Have each request on an association wait until the association's own thread is held."""
    # The library uses no more of an Event than this has.
    association._reactor_checkpoint = ReactorPause(association)  # type: ignore[assignment]


class ReactorPause:
    """What an association's thread waits at while another thread asks something of the peer.

    The library asks a flag whether its thread waits. The flag is stale for a moment after the
    thread was let go: of two requests in quick succession the second went out while the thread
    still ran, and the thread took its answer. Here the thread has left only once it has seen
    that it may, and who pauses it waits until it is back.

    Takes the place of the library's ``threading.Event``, with the same methods.

    Parameters
    ----------
    thread : the association, which is its own thread
    """

    def __init__(self, thread: Thread) -> None:
        self._thread = thread
        self._changed = Condition()
        self._may_go_on = True
        self._waits_here = False

    def wait(self) -> None:
        """Wait until the thread may go on: called by the thread in each round."""
        with self._changed:
            self._waits_here = True
            self._changed.notify_all()
            while not self._may_go_on:
                self._changed.wait()
            self._waits_here = False

    def clear(self) -> None:
        """Pause the thread; return once it waits, has ended, or is who asks for it."""
        with self._changed:
            self._may_go_on = False
            if threading.current_thread() is self._thread:
                return
            while not self._waits_here and self._thread.is_alive():
                self._changed.wait(_LOOKING_SECONDS)

    def set(self) -> None:
        """Let the thread go on."""
        with self._changed:
            self._may_go_on = True
            self._changed.notify_all()
