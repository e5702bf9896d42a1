"""What a mapping says of the terms of findings: shape, margin and so on, in the lexicon's words."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from training.data.table_cells import plain
from training.reports.report_synthesis import Attribute, slots_of

_ATTRIBUTES: Final = {item.value.lower().replace(" ", "_"): item for item in Attribute}


def attribute_of(label: str) -> Attribute | None:
    """Return the finding of the lexicon that a label is named as, or None."""
    return _ATTRIBUTES.get(label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A term of a finding: its column, and what the words in it are called in the lexicon.

    Attributes
    ----------
    words : word of the table, as `plain` leaves it, to that of the lexicon, or to nothing
        Words of the lexicon itself need not be there.
    lexicon : words that sentences have
    """

    column: str
    words: Mapping[str, str] = field(default_factory=dict)
    lexicon: tuple[str, ...] = ()

    def said(self, cell: str) -> tuple[list[str], list[str]]:
        """Return the lexicon's words for a cell, and the words that it has none for.

        A cell may hold several words, parted by commas, semicolons or hyphens.
        """
        known: dict[str, None] = {}
        others: dict[str, None] = {}
        for part in [cell] if self._word(cell) is not None else re.split("[,;]", cell):
            pieces = [part] if self._word(part) is not None else part.split("-")
            words = {piece.strip(): self._word(piece) for piece in pieces if piece.strip()}
            if all(word is None for word in words.values()):
                words = {part.strip(): None} if part.strip() else {}
            known |= {word: None for word in words.values() if word}
            others |= {piece: None for piece, word in words.items() if word is None}
        return list(known), list(others)

    def _word(self, given: str) -> str | None:
        word = plain(given)
        spaced = " ".join(word.replace("_", " ").split())
        return self.words.get(word, spaced if spaced in self.lexicon else None)


def terms_of(given: Mapping[str, Any], labels: Collection[str]) -> dict[str, dict[str, Term]]:
    """Read the terms of a mapping: label to slot to term; raises ValueError or TypeError.

    Parameters
    ----------
    given : label to slot to a column, or to a table of ``column`` and ``words``
    labels : of the mapping
    """
    for label in given:
        if label not in labels:
            raise ValueError(f"[terms.{label}]: there is no [labels.{label}]")
    return {
        label: {slot: _term(label, slot, term) for slot, term in slots.items()}
        for label, slots in given.items()
    }


def _term(label: str, slot: str, given: Any) -> Term:
    where = f"[terms.{label}] {slot}"
    attribute = attribute_of(label)
    slots = {} if attribute is None else slots_of(attribute)
    if attribute is not None and slot not in slots:
        raise ValueError(f"[terms.{label}] has {slot!r}; known are {', '.join(sorted(slots))}")
    lexicon = slots.get(slot, ())
    if isinstance(given, str):
        return Term(column=given, lexicon=lexicon)
    if not isinstance(given, Mapping):
        raise TypeError(f"{where}: give a column, or a table of column and words")
    for key in given:
        if key not in {"column", "words"}:
            raise ValueError(f"{where} has {key!r}; known are column, words")
    if "column" not in given:
        raise ValueError(f"{where} names no column")
    words = {plain(str(word)): plain(str(mean)) for word, mean in given.get("words", {}).items()}
    for word in words.values():
        if attribute is not None and word and word not in lexicon:
            raise ValueError(f"{where}: {word!r} is none of {', '.join(lexicon)}, nor empty")
    return Term(column=str(given["column"]), words=words, lexicon=lexicon)
