"""The rows that a mapping is about, as text: of files read together, and of a second table joined.

A cell that no row gives is NaN, and says nothing; one that a row leaves empty is an empty text.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.data.table_cells import plain
from training.data.table_mapping import Join, Names, TableMapping
from training.data.table_reading import read_cells
from training.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

_OWN_COLUMNS: Final = ("line", "split of the file", "line there", "side there", "row here")
"""Columns beside those of the table."""


def mapped_cells(table: Path, mapping: TableMapping) -> "pd.DataFrame":
    """Read the rows that a mapping keeps; ``line`` says where each row is.

    Raises
    ------
    TableError
        A file or one of its columns is missing, no row is left, or none has a row in the second
        table.
    """
    cells = _read(table, mapping)
    if mapping.join is not None:
        cells = _joined(cells, table, mapping, mapping.join)
        _require_columns(cells, table, mapping)
    cells = _only(cells, mapping)
    if cells.empty:
        raise TableError(f"{table}: no row is left that mapping {mapping.name} is about")
    if mapping.join is not None and not says_anything(cells, mapping).any():
        raise TableError(
            f"{table}: none of its rows has a row with labels of {mapping.join.file}: compare the "
            f"values of {' and '.join(mapping.join.on)} in both"
        )
    return cells


def column_of(cells: "pd.DataFrame", names: Names) -> str:
    """Return the first of a column's names that is there, or nothing."""
    return next((name for name in names if name in cells.columns), "")


def says_anything(cells: "pd.DataFrame", mapping: TableMapping) -> "pd.Series[bool]":
    """Tell of each row whether there is a row with its labels, be they empty."""
    columns = _label_columns(cells, mapping)
    return cells[columns or ["line"]].notna().any(axis=1)


def _label_columns(cells: "pd.DataFrame", mapping: TableMapping) -> list[str]:
    found = [column_of(cells, label.column) for label in mapping.labels.values()]
    return [name for name in dict.fromkeys(found) if name]


def _read(table: Path, mapping: TableMapping) -> "pd.DataFrame":
    """Read the table, and what belongs to it."""
    import pandas as pd

    names = [table.name]
    if table.name in mapping.files:
        names = [name for name in mapping.files if (table.parent / name).is_file()]
    parts = []
    for name in names:
        part = read_cells(table.parent / name)
        where = f"{name} line " if len(names) > 1 else "line "
        part["line"] = [f"{where}{line}" for line in part.index]
        part["split of the file"] = mapping.files.get(name, "")
        if mapping.join is None:
            _require_columns(part, table.parent / name, mapping)
        parts.append(part)
    cells = pd.concat(parts, ignore_index=True)
    for alternatives in _names_of(mapping):
        there = [name for name in alternatives if name in cells]
        if len(there) > 1:  # a file may call it by one name and the next by another
            cells[there[0]] = cells[there].bfill(axis=1)[there[0]]
    others = [name for name in cells if name not in _label_columns(cells, mapping)]
    return cells.fillna(dict.fromkeys(others, ""))


def _names_of(mapping: TableMapping) -> list[Names]:
    return [*mapping.columns.values(), *(label.column for label in mapping.labels.values())]


def _require_columns(cells: "pd.DataFrame", file: Path, mapping: TableMapping) -> None:
    may_be_missing = {"split", "fold"} if mapping.folds else set()
    wanted = [names for field, names in mapping.columns.items() if field not in may_be_missing]
    wanted += [label.column for label in mapping.labels.values() if not label.optional]
    missing = [" or ".join(names) for names in wanted if not column_of(cells, names)]
    if missing:
        given = ", ".join(name for name in cells.columns if name not in _OWN_COLUMNS)
        raise TableError(
            f"{file}: mapping {mapping.name} needs columns that are missing: "
            f"{', '.join(dict.fromkeys(missing))}; the table has {given}"
        )


def _joined(
    cells: "pd.DataFrame", table: Path, mapping: TableMapping, join: Join
) -> "pd.DataFrame":
    """Give each image the rows about its breast, of the second table or of a table joined before.

    An image whose examination has rows about the other breast alone has no finding: its labels
    are empty, but for those of the examination. An image without any row, or of an unknown side
    where none is about both, has labels that are NaN.
    """
    import pandas as pd

    wanted = [label.column for label in mapping.labels.values() if not label.optional]
    if all(column_of(cells, names) for names in wanted):
        both = _joined_before(cells, mapping, join)
    else:
        both = _merged(cells, table, join)
    image_side = column_of(both, mapping.columns.get("laterality", ()))
    if not image_side or not join.laterality:
        return both
    there, here = (both[name].map(partial(_side, mapping)) for name in ("side there", image_side))
    other = there.isin(["L", "R"]) & (there != here)
    about = both[~other]
    bare = both[~both["row here"].isin(about["row here"])]
    of_examination = {
        column_of(both, label.column) for label in mapping.labels.values() if label.of_examination
    }
    of_breast = [name for name in _label_columns(both, mapping) if name not in of_examination]
    bare[of_breast] = ""
    bare.loc[here == "", of_breast] = pd.NA
    bare = bare.drop_duplicates(["row here", *(of_examination - {""})])
    return pd.concat([about, bare]).sort_index().reset_index(drop=True)


def _side(mapping: TableMapping, cell: str) -> str:
    try:
        return mapping.meaning("laterality", cell)
    except ValueError:
        return ""  # both, or none


def _joined_before(cells: "pd.DataFrame", mapping: TableMapping, join: Join) -> "pd.DataFrame":
    """Take the table as it is; where all labels and the side are empty, there was no row."""
    import pandas as pd

    both = cells.assign(**{"side there": cells.get(join.laterality, "")})
    here = column_of(cells, mapping.columns.get("image", ()))
    both["row here"] = both[here] if here else range(len(both))
    labelled = _label_columns(both, mapping)
    nothing = (both[[*labelled, "side there"]] == "").all(axis=1)
    both[labelled] = both[labelled].mask(nothing, pd.NA)
    return both


def _merged(cells: "pd.DataFrame", table: Path, join: Join) -> "pd.DataFrame":
    """Put the rows of both tables beside each other where their columns are the same word."""
    path = table.parent / join.file
    if not path.is_file():
        raise TableError(f"{table}: its labels are in {join.file}, which is not beside it")
    more = read_cells(path)
    absent = [name for name in join.on if name not in cells or name not in more]
    if absent:
        raise TableError(f"{table} and {path}: both need the columns {', '.join(absent)}")
    more["line there"] = [f", {join.file} line {line}" for line in more.index]
    more["side there"] = more.get(join.laterality, "")
    added = [name for name in more if name not in cells]
    keys, left = _keyed(cells.assign(**{"row here": range(len(cells))}), join.on)
    _, right = _keyed(more[[*join.on, *added]], join.on)
    right = right[(right[keys] != "").all(axis=1)].drop(columns=list(join.on))
    both = left.merge(right, how="left", on=keys).drop(columns=keys)
    both["line"] = both["line"] + both["line there"].fillna("")
    return both.fillna({"side there": "", "line there": ""})


def _keyed(cells: "pd.DataFrame", on: Sequence[str]) -> "tuple[list[str], pd.DataFrame]":
    """Add the columns that rows are joined on: 96 and 96.0 are the same."""
    keys = [f"key {name}" for name in on]
    words = [cells[name].map(plain) for name in on]
    return keys, cells.assign(**dict(zip(keys, words, strict=True)))


def _only(cells: "pd.DataFrame", mapping: TableMapping) -> "pd.DataFrame":
    for name, words in mapping.only.items():
        if name in cells:
            cells = cells[cells[name].fillna("").map(plain).isin(words)]
    return cells.reset_index(drop=True)
