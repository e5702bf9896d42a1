"""What Orthanc is still to send to the node, on disk: it survives whoever is killed."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FIRST_WAIT, LONGEST_WAIT = 5.0, 900.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS cursor (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS unsettled (study TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS sent (study TEXT PRIMARY KEY, images TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queue (
    study TEXT PRIMARY KEY, images TEXT NOT NULL, urgent INTEGER NOT NULL,
    attempts INTEGER NOT NULL, due REAL NOT NULL, reason TEXT NOT NULL
);
"""


class Queue:
    """What is to be sent, on disk; one connection, used by one thread at a time."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        file.chmod(0o600)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(SCHEMA)

    @contextlib.contextmanager
    def changes(self) -> Iterator[sqlite3.Connection]:
        """Do all of a block or nothing, and have it on disk at its end."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def cursor(self) -> int | None:
        """Return up to where the changes were read; None before the first time."""
        rows = self.rows("SELECT seq FROM cursor")
        return rows[0][0] if rows else None

    def read_up_to(self, seq: int, studies: Iterable[str]) -> None:
        """Keep how far the changes were read, and which studies they are about."""
        with self.changes() as connection:
            connection.execute("INSERT OR REPLACE INTO cursor VALUES (1, ?)", (seq,))
            connection.executemany(
                "INSERT OR IGNORE INTO unsettled VALUES (?)", [(study,) for study in studies]
            )

    def enter(self, study: str, images: str, *, urgent: bool = False) -> None:
        """Have a study sent, and look no longer whether it is stable."""
        with self.changes() as connection:
            connection.execute("DELETE FROM unsettled WHERE study = ?", (study,))
            connection.execute(
                "INSERT OR REPLACE INTO queue VALUES (?, ?, ?, 0, ?, '')",
                (study, images, int(urgent), time.time()),
            )

    def leave(self, study: str) -> None:
        """Forget a study that is gone, or has nothing to send."""
        with self.changes() as connection:
            connection.execute("DELETE FROM unsettled WHERE study = ?", (study,))
            connection.execute("DELETE FROM queue WHERE study = ?", (study,))

    def note_sent(self, study: str, images: str) -> None:
        """Forget what was sent, but which images these were."""
        with self.changes() as connection:
            connection.execute("INSERT OR REPLACE INTO sent VALUES (?, ?)", (study, images))
            # Entered again meanwhile, with further images: then that stays.
            connection.execute("DELETE FROM queue WHERE study = ? AND images = ?", (study, images))

    def postpone(self, study: str, attempts: int, reason: str) -> None:
        """Try again later, the later the more often it was tried."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempts - 1, 20))
        with self.changes() as connection:
            connection.execute(
                "UPDATE queue SET attempts = ?, due = ?, reason = ?, urgent = 0 WHERE study = ?",
                (attempts, time.time() + wait, reason, study),
            )

    def due(self) -> Any:
        """Return the next study to send: those asked for first, then the longest due."""
        rows = self.rows(
            "SELECT study, images, attempts FROM queue WHERE urgent OR due <= ? "
            "ORDER BY urgent DESC, due LIMIT 1",
            time.time(),
        )
        return rows[0] if rows else None
