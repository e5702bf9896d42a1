"""Reports without the groups that repeat the form of another, for validators that are slow."""

import copy
from collections.abc import Iterator

from pydicom.dataset import Dataset

_REPEATED = {"125007", "111034"}
"""Measurement Group; Individual Impression/Recommendation: nothing refers into or past them."""

_EVALUATIONS = "C0034375"


def abridged(report: Dataset) -> Dataset:
    """Return a copy that has one of all measurement groups, impressions and evaluations alike.

    What is left follows the report's template if, and only if, the whole does: a template has no
    row that counts these.
    """
    short = copy.deepcopy(report)
    _drop_repeated(short)
    return short


def form_of(item: Dataset) -> tuple[str, ...]:
    """Return one line for each item below and including one: all but numbers, texts and UIDs."""
    return tuple(_lines(item, ""))


def _drop_repeated(item: Dataset) -> None:
    seen, kept = set(), []
    within = _code_of(item.get("ConceptNameCodeSequence"))
    for child in item.get("ContentSequence", []):
        _drop_repeated(child)
        is_repeatable = _code_of(child.get("ConceptNameCodeSequence")) in _REPEATED
        form = form_of(child)
        if (is_repeatable or within == _EVALUATIONS) and form in seen:
            continue
        seen.add(form)
        kept.append(child)
    if kept:
        item.ContentSequence = kept


def _lines(item: Dataset, place: str) -> Iterator[str]:
    kind = item.get("ValueType") or "by reference"
    words = [place, str(item.get("RelationshipType", "")), kind]
    words += map(_form_of_code, map(item.get, ("ConceptNameCodeSequence", "ConceptCodeSequence")))
    words.append(str(item.get("GraphicType", "")))
    yield " ".join(words)
    for number, child in enumerate(item.get("ContentSequence", []), start=1):
        yield from _lines(child, f"{place}.{number}")


def _form_of_code(sequence: "list[Dataset] | None") -> str:
    # Private ones hold numbers and names, of which a template knows nothing.
    is_private = bool(sequence) and sequence[0].CodingSchemeDesignator.startswith("99")
    return "private" if is_private else _code_of(sequence)


def _code_of(sequence: "list[Dataset] | None") -> str:
    if not sequence:
        return ""
    code = sequence[0]
    return str(code.get("CodeValue") or code.get("LongCodeValue") or "")
