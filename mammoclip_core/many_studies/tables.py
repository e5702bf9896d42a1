"""Writes rows to one table, a few at a time: Parquet, CSV or JSON lines by the file's name."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

from mammoclip_core.errors import CoreError, MissingLibraryError
from mammoclip_core.many_studies.lasting_files import put_in_place
from mammoclip_core.many_studies.rows import COLUMNS

Row = dict[str, Any]

_ROWS_OF_A_GROUP: Final = 20_000
_BEGINS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class TableNameError(CoreError):
    """A file's name does not tell which kind of table it is to be."""


def check_table(path: Path) -> None:
    """Tell before any work whether a table of this name can be written.

    Raises
    ------
    TableNameError
        The suffix is none of those known, or the folder is not there.
    MissingLibraryError
        Parquet's library is not installed.
    """
    if path.suffix.lower() not in _WRITERS:
        raise TableNameError(f"{path}: a table's name ends with one of {', '.join(_WRITERS)}")
    if not path.absolute().parent.is_dir():
        raise TableNameError(f"{path}: there is no such folder")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise MissingLibraryError(
            "Parquet needs pyarrow: install the extra 'parquet' (pip install '.[parquet]' in the"
            " project's folder), or name a .csv or .jsonl file"
        )


def write_table(
    rows: Iterable[Row], path: Path, part: Path, columns: Mapping[str, type] = COLUMNS
) -> None:
    """Write rows, each with any of the columns; the table is there whole or not at all.

    Parameters
    ----------
    part : file on the same disk that is written first
    columns : name and type of each
    """
    _WRITERS[path.suffix.lower()](rows, part, columns)
    put_in_place(part, path)


def _write_csv(rows: Iterable[Row], path: Path, columns: Mapping[str, type]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)


def _harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, whoever chose the name in it."""
    is_formula = isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA)
    return f"'{value}" if is_formula else value


def _write_json_lines(rows: Iterable[Row], path: Path, columns: Mapping[str, type]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            ordered = {name: row[name] for name in columns if name in row}
            stream.write(json.dumps(ordered, ensure_ascii=False) + "\n")


def _write_parquet(rows: Iterable[Row], path: Path, columns: Mapping[str, type]) -> None:
    import pyarrow
    from pyarrow import parquet

    types = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(iter(rows)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while group := list(islice(rows, _ROWS_OF_A_GROUP)):
        yield group


_WRITERS: Final[dict[str, Callable[[Iterable[Row], Path, Mapping[str, type]], None]]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
}
