"""The sentences that were translated already, as lines beside the table they are for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from training.data.run_journal import alone, enter, entries_of

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
        enter(
            self._path,
            (
                {"models": self._models, "sentence": sentence, "back": answer}
                for sentence, answer in back.items()
            ),
        )


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
    with alone(path, f"{table}: another run translates for this table"):
        yield SentenceJournal(path, models)


def _read(path: Path, models: str) -> dict[str, str]:
    """Read what these models translated."""
    found: dict[str, str] = {}
    for entry in entries_of(path):
        try:
            own, sentence, back = entry["models"], entry["sentence"], entry["back"]
        except (TypeError, KeyError):
            continue
        if own == models and isinstance(sentence, str) and isinstance(back, str):
            found[sentence] = back
    return found
