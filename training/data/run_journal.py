"""A journal of what a run has finished, line by line: a killed run takes up after the last one."""

import errno
import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.errors import SettingsError
from training.whole_file import naming


@contextmanager
def alone(lock: Path, refusal: str) -> Iterator[None]:
    """Hold a file, made where it is not there, against every other run; a kill lets go of it.

    Raises
    ------
    SettingsError
        Another run holds it: `refusal` says what that run does.
    """
    with lock.open("a", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EAGAIN}:
                raise
            raise SettingsError(refusal) from error
        yield


def entries_of(journal: Path) -> Iterator[Any]:
    """Read what was entered, from nothing where there is no such file.

    A line that a kill cut short is none, and is ended, so that the next entry has its own.
    """
    if not journal.is_file():
        return
    content = journal.read_text(encoding="utf-8", errors="replace")
    if content and not content.endswith("\n"):
        with journal.open("a", encoding="utf-8") as stream:
            stream.write("\n")
    for line in content.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        yield entry


def enter(journal: Path, entries: Iterable[Any]) -> None:
    """Write entries behind the others, each a line of JSON."""
    with naming(journal), journal.open("a", encoding="utf-8") as stream:
        stream.write("".join(f"{json.dumps(entry)}\n" for entry in entries))
