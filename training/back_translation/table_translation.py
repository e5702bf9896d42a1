"""``mammoclip-train back-translate``: an image-text table again, its reports in other words too."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.back_translation.journal import SentenceJournal, opened
from training.back_translation.marian import MarianTranslator, load_translator
from training.data.table_formats import IMAGE_TEXT, recognised
from training.data.table_reading import read_cells, read_table
from training.data.table_writing import write_table
from training.errors import SettingsError, TableError
from training.reports.report_text import clean_section, sentences_of, to_cell
from training.terminal import Progress

if TYPE_CHECKING:
    import pandas as pd

AUGMENTED: Final = "text_augment"
_SECTIONS: Final = ("findings", "impressions")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackTranslationOrder:
    """What is to be translated, and by what.

    Attributes
    ----------
    table : image-text table
    forward, backward : folders or hub names of MarianMT models
        From the reports' language to another one, and back.
    out : file of the table that is written
    beams : hypotheses that are followed; the best one is taken
    batch_size : sentences at once
    device : as torch names it
    """

    table: Path
    forward: str
    backward: str
    out: Path
    beams: int = 5
    batch_size: int = 32
    device: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackTranslationOutcome:
    """What a run did.

    Attributes
    ----------
    rows : of the table
    translated, known : distinct sentences of this run, and of earlier ones
    unanswered : of both, those of which nothing came back
    """

    rows: int
    translated: int
    known: int
    unanswered: int

    def summary(self) -> Iterator[str]:
        """Yield what a person reads at the end."""
        yield f"{self.rows} rows: {self.translated} sentences translated, {self.known} were known"
        if self.unanswered:
            yield f"{self.unanswered} sentences stay as they are: nothing came back of them"


def back_translate(order: BackTranslationOrder, progress: Progress) -> BackTranslationOutcome:
    """Write a table again with its back-translated reports in ``text_augment``, as published.

    That column holds two texts a row, of the findings and of the impression, their sentences parted
    by periods; `pretrain` reads it. Each distinct sentence is translated once; a section without
    periods is one sentence. What was translated lies beside the table, so that a killed run, or
    one with further rows, goes on from there.
    Nothing leaves this machine: where a model is a hub's, its files are downloaded, no more.

    Raises
    ------
    TableError
        It is no image-text table, or has bad rows: all of them are named.
    SettingsError
        A model is none, the table would be written over itself, or another run writes it.
    FetchError
        A model is not a folder, and cannot be downloaded from the hub.
    MissingLibraryError
        SentencePiece is not installed.
    BatchMemoryError
        Memory is short for so many sentences at once.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 2.1; official `augment_text.py`, which draws its
    translations at random, where this takes the likeliest.
    """
    cells = _read(order)
    sentences = sorted(
        {text for name in _SECTIONS for cell in cells[name] for text in sentences_of(cell)},
        key=lambda text: (-len(text), text),  # memory is short at once, or never
    )
    forward = load_translator(order.forward, order.device)
    backward = load_translator(order.backward, order.device)
    named = f"{forward.digest} {backward.digest} {order.beams}"
    with opened(order.out, hashlib.sha256(named.encode()).hexdigest()) as journal:
        left = [text for text in sentences if text not in journal.back]
        if left:
            with progress("sentences", len(left)) as advance:
                for start in range(0, len(left), order.batch_size):
                    batch = left[start : start + order.batch_size]
                    _translate(batch, forward, backward, order.beams, journal)
                    for _ in batch:
                        advance()
        write_table(order.out, _with_back_translation(cells, journal.back))
        return BackTranslationOutcome(
            rows=len(cells),
            translated=len(left),
            known=len(sentences) - len(left),
            unanswered=sum(not _cleaned(journal.back[text]) for text in sentences),
        )


def _read(order: BackTranslationOrder) -> "pd.DataFrame":
    """Return the table's cells as text, after every row of it was checked."""
    if recognised(order.table) is not IMAGE_TEXT:
        raise TableError(
            f"{order.table}: the columns {' and '.join(_SECTIONS)} are missing; "
            "`mammoclip-train prepare` makes them from a table of dictated reports"
        )
    rows = read_table(order.table, IMAGE_TEXT)
    if order.out.exists() and order.out.samefile(order.table):
        raise SettingsError(f"{order.out} is the table itself: name another file")
    return read_cells(order.table).loc[rows.index]


def _translate(
    sentences: Sequence[str],
    forward: MarianTranslator,
    backward: MarianTranslator,
    beams: int,
    journal: SentenceJournal,
) -> None:
    """Translate one batch there and back, and enter it."""
    there = dict(zip(sentences, forward(sentences, beams), strict=True))
    answered = [text for text in sentences if there[text]]
    back = dict.fromkeys(sentences, "")
    if answered:
        translations = backward([there[text] for text in answered], beams)
        back.update(zip(answered, translations, strict=True))
    journal.note(back)


def _cleaned(back: str) -> str:
    return to_cell(clean_section(back, 1))


def _with_back_translation(cells: "pd.DataFrame", back: Mapping[str, str]) -> "pd.DataFrame":
    """Return the table with ``text_augment``; a sentence of which nothing came back stays."""

    def back_translated(cell: str) -> str:
        return to_cell([_cleaned(back[text]) or text for text in sentences_of(cell)])

    columns = [cells[name].map(back_translated) for name in _SECTIONS]
    texts = [repr(list(pair)) for pair in zip(*columns, strict=True)]
    if AUGMENTED in cells.columns:
        return cells.assign(**{AUGMENTED: texts})
    widened = cells.copy()
    widened.insert(cells.columns.get_loc("impressions") + 1, AUGMENTED, texts)
    return widened
