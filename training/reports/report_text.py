"""Report texts as the paper prepares them: cleaned sentences, sections, shuffles, two texts."""

import ast
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

FEWEST_TOKENS: Final = 3
"""Sentences with fewer tokens say nothing and are dropped."""

SENTENCE_END: Final = "\n"

_TOKEN: Final = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The sections that the model learns from, as cleaned sentences; either may be empty."""

    findings: tuple[str, ...] = ()
    impression: tuple[str, ...] = ()

    @property
    def sections(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Both sections, findings first."""
        return self.findings, self.impression


def clean_report(*, findings: str = "", impression: str = "") -> Report:
    """Clean both sections of a report."""
    return Report(findings=clean_section(findings), impression=clean_section(impression))


def clean_section(text: str, fewest_tokens: int = FEWEST_TOKENS) -> tuple[str, ...]:
    """Split a section into sentences at its periods, each cleaned; short ones are dropped.

    As published, a period inside a number divides too.

    Parameters
    ----------
    fewest_tokens : 1 or more
        That a sentence needs to be kept.

    References
    ----------
    Mammo-CLIP, official `augment_text.py`.
    """
    sentences = text.replace("BI-RADS", "BIRADS").replace("\n", " ").split(".")
    tokens = (_tokens(sentence) for sentence in sentences)
    return tuple(" ".join(words) for words in tokens if len(words) >= fewest_tokens)


def sentences_of(cell: str) -> tuple[str, ...]:
    """Read a section of a published table, a text or a list of texts, as sentences.

    Such tables are clean already: no sentence is dropped for its length.
    """
    return tuple(sentence for part in parts_of(cell) for sentence in part)


def parts_of(cell: str) -> tuple[tuple[str, ...], ...]:
    """Read a text, or each text of a list, as its sentences; as `sentences_of` otherwise."""
    parts = [cell]
    if cell.lstrip().startswith("["):  # so does a dictated "[personalname] is 59 years old"
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            parts = ast.literal_eval(cell.strip())
    return tuple(clean_section(str(part), 1) for part in parts)


def to_cell(sentences: Sequence[str]) -> str:
    """Join sentences for a table's cell: by periods, so that `sentences_of` finds each again.

    The published tables join by spaces, and their sentences cannot be told apart any more.
    """
    return ". ".join(sentences)


def to_text(sentences: Sequence[str]) -> str:
    """Join sentences as the model reads them: its tokenizer takes a line's end for a space."""
    return SENTENCE_END.join(sentences)


def shuffled(sentences: Sequence[str], generator: np.random.Generator) -> tuple[str, ...]:
    """Put sentences into a random order."""
    return tuple(sentences[place] for place in generator.permutation(len(sentences)))


def draw_texts(
    report: Report, generator: np.random.Generator, augmented: Report | None = None
) -> tuple[str, str]:
    """Draw the two texts of one sample, their sentences shuffled.

    Both sections in random order where the report has both, else the one section twice.

    Parameters
    ----------
    augmented : the report in other words
        A section that it has takes the place of the report's own every second time.

    Raises
    ------
    ValueError
        The report has no sentence.
    """
    filled = [place for place, section in enumerate(report.sections) if section]
    if not filled:
        raise ValueError("a report without a sentence has no text to draw")
    drawn = generator.permutation(filled).tolist() if len(filled) > 1 else filled * 2
    first, second = (
        _in_either_words(
            report.sections[place], augmented.sections[place] if augmented else (), generator
        )
        for place in drawn
    )
    return first, second


def _in_either_words(
    sentences: Sequence[str], augmented: Sequence[str], generator: np.random.Generator
) -> str:
    is_replaced = bool(augmented) and generator.random() >= 0.5
    return to_text(shuffled(augmented if is_replaced else sentences, generator))


def _tokens(sentence: str) -> list[str]:
    ascii_only = (
        token.encode("ascii", "ignore").decode() for token in _TOKEN.findall(sentence.lower())
    )
    return [token for token in ascii_only if token]
