"""Says in the log which messages were discarded, without filling it when there are very many."""

import time
from typing import Final

import structlog

log = structlog.get_logger("worker.messages")

_LINES: Final = 100
_PERIOD_SECONDS: Final = 60.0


class Discarded:
    """Counts discarded messages: up to 100 lines a minute, then one line for all of the rest.

    Attributes
    ----------
    count : number of all so far
    """

    def __init__(self) -> None:
        self.count = 0
        self._since = 0.0
        self._lines = 0
        self._unsaid = 0

    def note(self, queue: str, reason: str) -> None:
        """Log one discarded message.

        Parameters
        ----------
        queue : name of the queue by which it came
        reason : words that quote nothing of the message, which may hold anything
        """
        self.count += 1
        now = time.monotonic()
        if now - self._since >= _PERIOD_SECONDS:
            if self._unsaid:
                log.warning("messages_discarded", count=self._unsaid)
            self._since, self._lines, self._unsaid = now, 0, 0
        if self._lines >= _LINES:
            self._unsaid += 1
            return
        self._lines += 1
        log.warning("message_discarded", queue=queue, reason=reason)
