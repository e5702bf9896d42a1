"""A table that a mapping reads, as the table of one's own that every command reads without one."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.data.image_files import name_below
from training.data.mapped_table import read_mapped
from training.data.table_formats import PLAIN
from training.data.table_mapping import UNKNOWN, TableMapping
from training.preparation.requested_images import Table

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS: Final = {
    "patient": "patient_id",
    "laterality": "laterality",
    "view": "view",
    "split": "split",
    "age": "age",
    "machine": "machine_id",
    "report": "report",
}
"""Fields of a mapping, and what an own table calls them."""


def read_as_own(path: Path, mapping: TableMapping, source: Path) -> tuple[Table, tuple[str, ...]]:
    """Read a table, one row an image; returns what a rule of the mapping resolved, too.

    Parameters
    ----------
    source : folder of the images; those that are missing are kept, to be named

    Raises
    ------
    TableError
        The table has bad rows: every one is named.
    """
    import pandas as pd

    read = read_mapped(path, mapping, [source], may_be_missing=True)
    images = read.images
    cells = {"file": [name_below(source, read.files[place]) for place in images["image"]]}
    for field, column in _COLUMNS.items():
        if (images[field] != "").any():
            cells[column] = images[field].tolist()
    for label, classes in read.classes.items():
        cells[label] = [_word(value, classes) for value in images[label]]
    for column in _term_columns(mapping):
        cells[column] = images[column].tolist()
    frame = pd.DataFrame(cells, dtype=str)
    return Table(path=path, layout=PLAIN, rows=frame, cells=frame), read.notes


def _word(value: int, classes: tuple[str, ...]) -> str:
    if value == UNKNOWN:
        return ""
    return classes[value] if classes else str(value)


def _term_columns(mapping: TableMapping) -> list[str]:
    return [f"{label} {slot}" for label, slots in mapping.terms.items() for slot in slots]


def described(mapping: TableMapping, frame: "pd.DataFrame") -> str:
    """Return the mapping, as TOML, by which the prepared table's other labels are tasks as well."""
    columns = {"image": "image", **_COLUMNS, "fold": "fold"}
    lines = ["# Of the prepared table, for labels that are no built-in task.", "[columns]"]
    lines += _pairs((field, name) for field, name in columns.items() if name in frame)
    for name, label in mapping.labels.items():
        if name in frame:
            lines += ["", f"[labels.{name}]", *_pairs([("column", name)])]
            lines += _pairs([("classes", list(label.classes))] if label.classes else [])
    for name, slots in mapping.terms.items():
        for slot, term in slots.items() if name in frame else ():
            lines += ["", f"[terms.{name}.{slot}]", *_pairs([("column", f"{name} {slot}")])]
            lines += [f"[terms.{name}.{slot}.words]", *_pairs(_quoted(term.words).items())]
    return "\n".join(lines) + "\n"


def _quoted(words: Mapping[str, str]) -> dict[str, str]:
    """Write words as keys of TOML, which may have any letters in quotation marks."""
    return {json.dumps(word, ensure_ascii=False): meaning for word, meaning in words.items()}


def _pairs(given: Iterable[tuple[str, Any]]) -> list[str]:
    """Write keys and values: texts and lists of JSON are those of TOML."""
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in given]
