"""What a run over many studies has found and done, on disk: after kill -9 the next one goes on."""

import fcntl
import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from mammoclip_core.errors import CoreError
from mammoclip_core.many_studies.finding_files import FoundFile

_FILES_AT_ONCE: Final = 1000
"""Files that are written in one transaction."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS file (
    number INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, study BLOB NOT NULL,
    reason TEXT NOT NULL, named INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS file_of_study ON file (study, number);
CREATE TABLE IF NOT EXISTS study (
    number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, rows BLOB,
    attempts INTEGER NOT NULL DEFAULT 0
);
"""

Rows = list[dict[str, Any]]


class JournalError(CoreError):
    """A run cannot go on from what another one has left; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyToDo:
    """A study and its files.

    Attributes
    ----------
    number : from 1 on, in the order in which they were found
    study : as `FoundFile.study`
    files : paths, each with whether it was named itself
    """

    number: int
    study: str
    files: tuple[tuple[str, bool], ...]


class Journal:
    """The state of one run, in a folder beside its output; one process at a time holds it.

    Parameters
    ----------
    folder : made if it is not there

    Raises
    ------
    JournalError
        Another process holds it, or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise JournalError(
                f"{folder} is in use: the same command is running; wait for it"
            ) from error
        try:
            self._database = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
            self._database.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            os.close(self._lock)
            raise JournalError(
                f"{folder} cannot be used ({error}): delete it to begin again"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        os.close(self._lock)

    def agree(self, facts: Mapping[str, str]) -> None:
        """Keep what the results depend on, or compare it with what an earlier run has kept.

        Raises
        ------
        JournalError
            Something differs: rows of both would lie in one table.
        """
        kept = dict(self._database.execute("SELECT name, value FROM fact"))
        for name, value in facts.items():
            if name in kept and kept[name] != value:
                raise JournalError(
                    f"{self.folder} is of a run with another {name} ({kept[name]}, now {value}):"
                    f" run with the same one, delete {self.folder.name} to begin again, or choose"
                    " another --out"
                )
        self._remember(facts)

    def require_same_working_folder(self) -> None:
        """Compare the working folder with that of the search, if paths are relative to it.

        Raises
        ------
        JournalError
            They would name other files.
        """
        if self.is_searched and self._count("file WHERE substr(path, 1, 1) != x'2f'"):
            self.agree(_working_folder())

    @property
    def is_searched(self) -> bool:
        """Tell whether all files have been found, studies among them."""
        return self.studies > 0

    def keep_files(self, found: Iterable[FoundFile]) -> Iterator[int]:
        """Keep the files that are found, each once, and yield their number from time to time.

        A search that did not end, or that found no study, is forgotten: its files may be others by
        now.
        """
        if self.is_searched:
            return
        self._database.execute("DELETE FROM file")
        self._remember(_working_folder())
        waiting: list[tuple[bytes, bytes, str, bool]] = []
        count = 0
        for file in found:
            count += 1
            waiting.append(
                (os.fsencode(file.path), os.fsencode(file.study), file.reason, file.is_named)
            )
            if len(waiting) >= _FILES_AT_ONCE:
                self._keep(waiting)
                yield count
        self._keep(waiting)
        # The studies come at once or not at all: where there are any, the search has ended.
        self._database.execute(
            "INSERT INTO study (name) SELECT study FROM file WHERE study != x''"
            " GROUP BY study ORDER BY MIN(number)"
        )
        yield count

    def _keep(self, waiting: list[tuple[bytes, bytes, str, bool]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR IGNORE INTO file (path, study, reason, named) VALUES (?, ?, ?, ?)", waiting
        )
        self._database.execute("COMMIT")
        waiting.clear()

    @property
    def studies(self) -> int:
        """Return how many studies were found."""
        return self._count("study")

    @property
    def done(self) -> int:
        """Return how many studies have their rows."""
        return self._count("study WHERE rows IS NOT NULL")

    @property
    def unused(self) -> int:
        """Return how many files are passed over."""
        return self._count("file WHERE study = x''")

    def to_do(self, of_a_unit: int) -> Iterator[tuple[StudyToDo, ...]]:
        """Yield the studies without rows, always divided into the same units.

        Which images share a batch can change a score's last digit: a unit is computed as a whole
        or not at all, so that a run that was killed ends with the rows of one that was not.
        Studies that have ended a process come alone.
        """
        highest = self._database.execute("SELECT MAX(number) FROM study").fetchone()[0] or 0
        for first in range(1, highest + 1, of_a_unit):
            rows = self._database.execute(
                "SELECT number, name, attempts FROM study"
                " WHERE rows IS NULL AND number >= ? AND number < ? ORDER BY number",
                (first, first + of_a_unit),
            ).fetchall()
            alone = any(attempts for _, _, attempts in rows)
            unit = tuple(self._study(number, name) for number, name, _ in rows)
            if unit:
                yield from ((study,) for study in unit) if alone else (unit,)

    def _study(self, number: int, name: bytes) -> StudyToDo:
        files = self._database.execute(
            "SELECT path, named FROM file WHERE study = ? ORDER BY number", (name,)
        )
        return StudyToDo(
            number=number,
            study=os.fsdecode(name),
            files=tuple((os.fsdecode(path), bool(named)) for path, named in files),
        )

    def finish(self, done: Sequence[tuple[int, bytes]]) -> None:
        """Keep the rows of a unit's studies, all or none, as `packed` makes them."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "UPDATE study SET rows = ? WHERE number = ?", [(rows, number) for number, rows in done]
        )
        self._database.execute("COMMIT")

    def failed(self, studies: Iterable[StudyToDo]) -> None:
        """Keep that studies have ended their process."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "UPDATE study SET attempts = attempts + 1 WHERE number = ?",
            [(study.number,) for study in studies],
        )
        self._database.execute("COMMIT")

    def attempts_of(self, study: StudyToDo) -> int:
        """Return how many processes a study has ended."""
        (attempts,) = self._database.execute(
            "SELECT attempts FROM study WHERE number = ?", (study.number,)
        ).fetchone()
        return int(attempts)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of all studies in order, then one for each file that is passed over."""
        for (rows,) in self._database.execute("SELECT rows FROM study ORDER BY number"):
            yield from json.loads(zlib.decompress(rows))
        unused = "SELECT path, reason FROM file WHERE study = x'' ORDER BY number"
        for path, reason in self._database.execute(unused):
            yield {
                "level": "file",
                "file": as_text(os.fsdecode(path)),
                "status": "passed_over",
                "reason": reason,
            }

    def delete(self) -> None:
        """Delete the folder: the run is over and its results are safe."""
        shutil.rmtree(self.folder)

    def _remember(self, facts: Mapping[str, str]) -> None:
        self._database.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", facts.items())

    def _count(self, what: str) -> int:
        (count,) = self._database.execute(f"SELECT COUNT(*) FROM {what}").fetchone()  # noqa: S608  of our own words
        return int(count)


def _working_folder() -> dict[str, str]:
    return {"working folder": as_text(str(Path.cwd()))}


def packed(rows: Rows) -> bytes:
    """Return rows as the journal keeps them."""
    return zlib.compress(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode())


def as_text(path: str) -> str:
    r"""Return a path as Unicode, its bytes that are none written as ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
