"""The sentences that were translated already, as lines beside the table they are for."""

import errno
import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from training.errors import SettingsError

JOURNAL_ENDING: Final = ".sentences.jsonl"


class SentenceJournal:
    """Sentences with what came back of each, by these models; from `opened`.

    Attributes
    ----------
    back : sentence to what came back, empty where nothing did
    """

    def __init__(self, path: Path, models: str) -> None:
        self._path = path
        self._models = models
        self.back = _read(path, models)

    def note(self, back: Mapping[str, str]) -> None:
        """Enter finished sentences: a killed run takes up after the last line."""
        self.back.update(back)
        lines = (
            json.dumps({"models": self._models, "sentence": sentence, "back": answer})
            for sentence, answer in back.items()
        )
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))


@contextmanager
def opened(table: Path, models: str) -> Iterator[SentenceJournal]:
    """Open the journal of a table that is to be written, for this run alone, or begin it.

    Parameters
    ----------
    models : digest of what translates; sentences by other models are passed over and kept

    Raises
    ------
    SettingsError
        Another run writes the same table.
    """
    table.parent.mkdir(parents=True, exist_ok=True)
    path = table.with_name(table.name + JOURNAL_ENDING)
    with path.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EAGAIN}:
                raise
            raise SettingsError(f"{table}: another run translates for this table") from error
        yield SentenceJournal(path, models)


def _read(path: Path, models: str) -> dict[str, str]:
    """Read what these models translated; a line that a kill cut short is none."""
    content = path.read_text(encoding="utf-8", errors="replace")
    if content and not content.endswith("\n"):
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n")
    found: dict[str, str] = {}
    for line in content.splitlines():
        try:
            entry = json.loads(line)
            own, sentence, back = entry["models"], entry["sentence"], entry["back"]
        except (ValueError, TypeError, KeyError):
            continue
        if own == models and isinstance(sentence, str) and isinstance(back, str):
            found[sentence] = back
    return found
