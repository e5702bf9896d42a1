"""Times of this host, told by the database's clock, which all hosts share."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from dicom_node.studies.ledger.database import Database

_EQUAL: Final = timedelta(seconds=0.5)
"""Difference that is taken for none: the time that asking takes is part of it."""

_LOOK_SECONDS: Final = 10.0


class HostClock:
    """Translates between this host's clock and the database's.

    With SQLite they are one. With PostgreSQL the difference is measured now and then; a clock
    that is minutes off settles no study too early and keeps none waiting.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._clock = clock
        self._ahead = timedelta(0)
        self._look_at = 0.0

    def shared(self, at: datetime) -> datetime:
        """Return by the database's clock what a recent time is by this host's."""
        return at + self._database_is_ahead()

    def _database_is_ahead(self) -> timedelta:
        if self._database.has_own_clock and time.monotonic() >= self._look_at:
            before = self._clock()
            there = self._database.now()
            after = self._clock()
            ahead = there - (before + (after - before) / 2)
            self._ahead = ahead if abs(ahead) > _EQUAL + (after - before) else timedelta(0)
            self._look_at = time.monotonic() + _LOOK_SECONDS
        return self._ahead
