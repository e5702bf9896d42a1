"""Tables, read and checked by their format: every bad row is reported at once."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from training.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

Check = Callable[[str], Any]
"""From a cell's text to its value; raises ValueError with the reason."""

RowCheck = Callable[[Mapping[str, Any]], None]
"""Looks at a whole row whose cells are good; raises ValueError with the reason."""


_DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What a table must hold.

    Attributes
    ----------
    columns : name to check
        Columns that must be there.
    optional : name to check
        Columns that are checked where they are there; others are kept as text.
    group : column
        Rows of one group never part in a split.
    key : columns
        What no two different rows may share; empty where repetition is meant.
    boxes : (left, top, right, bottom) columns, in sets
    any_of : columns of which at least one must be there
    row : what must hold for a row as a whole, or None
    """

    columns: Mapping[str, Check]
    group: str
    optional: Mapping[str, Check] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    boxes: tuple[tuple[str, str, str, str], ...] = ()
    any_of: tuple[str, ...] = ()
    row: RowCheck | None = None


def read_table(path: Path, layout: Format) -> "pd.DataFrame":
    """Read a table of a known format.

    Returns
    -------
    DataFrame
        Cells as the format's checks give them: lists as tuples, missing numbers as NaN. The index
        is that of `read_cells`. Where the format has a key, a row that is repeated to the letter is
        there once.

    Raises
    ------
    TableError
        The file is no such table. The message names every bad row by its line.
    """
    frame = read_cells(path)
    missing = [name for name in layout.columns if name not in frame.columns]
    if layout.any_of and not set(layout.any_of) & set(frame.columns):
        missing.append(" or ".join(layout.any_of))
    if missing:
        raise TableError(f"{path}: columns are missing: {', '.join(missing)}")
    if frame.empty:
        raise TableError(f"{path}: the table is empty")
    repeated = frame.duplicated()
    checks = {**layout.columns, **layout.optional}
    faults: list[str] = []
    for name in [name for name in checks if name in frame.columns]:
        frame[name] = _checked(frame[name], checks[name], faults)
    for corners in layout.boxes:
        if set(corners) <= set(frame.columns):
            faults += _box_faults(frame, corners)
    key = [name for name in layout.key if name in frame.columns]
    if key:
        frame = frame[~repeated]
        for line in frame.index[frame.duplicated(key)]:
            named = ", ".join(f"{name} {frame.at[line, name]}" for name in key)
            faults.append(f"line {line}: {named} is there twice, with other cells")
    if layout.row is not None and not faults:
        faults += _row_faults(frame, layout.row)
    if faults:
        listed = "\n  ".join(faults)
        raise TableError(f"{path}: {len(faults)} faults\n  {listed}")
    return frame


def read_cells(path: Path) -> "pd.DataFrame":
    """Read a table of any format, every cell as its text; raises TableError where it is none.

    A name that ends in ``.parquet`` is read as Parquet, any other as CSV: in UTF-8 or UTF-16,
    its cells parted by commas, semicolons, tabulators or vertical lines, as its first line tells.

    Returns
    -------
    DataFrame
        Without spaces around a cell's text: some exports pad columns, and a padded ID would be
        another patient. The index says where each row begins: its line of a CSV file, in which a
        cell may hold several lines, or what line it would be of a Parquet file.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet_cells(path)
    try:
        return _csv_cells(path)
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path} is neither UTF-8 nor UTF-16: save it as UTF-8 (spreadsheets: CSV UTF-8)"
        ) from error
    except ValueError as error:
        raise TableError(f"{path} cannot be read as a CSV table: {error}") from error


def _csv_cells(path: Path) -> "pd.DataFrame":
    import pandas as pd

    lines: list[int] = []
    known: dict[str, str] = {}  # a text is kept once, however many cells hold it
    with path.open(encoding=_encoding_of(path), newline="") as stream:
        rows = _csv_rows(stream)
        _, head = next(rows, (0, []))
        names = _column_names(head)
        columns: list[list[str]] = [[] for _ in names]
        for line, row in rows:
            if any(cell.strip() for cell in row[len(names) :]):
                raise ValueError(f"line {line} has {len(row)} cells, the header {len(names)}")
            lines.append(line)
            whole = row + [""] * (len(names) - len(row))
            for column, cell in zip(columns, whole, strict=False):
                word = cell.strip()
                column.append(known.setdefault(word, word))
    return pd.DataFrame(dict(zip(names, columns, strict=True)), index=lines, dtype=str)


def _csv_rows(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with the line where it begins; raises ValueError."""
    delimiter, line = _delimiter_of(stream)
    reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
    before = line - 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line, row
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"the row that begins in line {line}: {error}") from error


def _column_names(head: Sequence[str]) -> list[str]:
    """Return a header's names without spaces around them; a second one of a name is numbered.

    Columns without a name at the end are those of delimiters that end each line.
    """
    given = [name.strip() for name in head]
    while given and not given[-1]:
        given.pop()
    if not given:
        raise ValueError("it is empty")
    names: dict[str, None] = {}
    for place, name in enumerate(given):
        new = name or f"Unnamed: {place}"
        number = 0
        while new in names:
            number += 1
            new = f"{name}.{number}"
        names[new] = None
    return list(names)


def _parquet_cells(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise TableError(
            f"{path}: to read Parquet, pyarrow is needed: pip install pyarrow"
        ) from error
    except (ValueError, OSError) as error:
        raise TableError(f"{path} cannot be read as a Parquet table: {error}") from error
    named = [name for name in frame.index.names if name is not None and name not in frame]
    if named:  # a column that was made the index
        frame = frame.reset_index(named)
    frame = frame.reset_index(drop=True)
    frame.columns = frame.columns.map(str)
    frame.index += 2
    return frame.map(_as_text)


def _as_text(value: Any) -> str:
    """Write a cell of a Parquet file as a CSV file would hold it."""
    import pandas as pd

    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return str(value)
    return "" if value is None or pd.isna(value) else str(value).strip()


def _encoding_of(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        return "utf-16"
    if len(start) == 2 and 0 in start:
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8-sig"


def _delimiter_of(stream: TextIO) -> tuple[str, int]:
    """Tell what parts the cells, and in which line the table begins that is read next.

    It is what the first line has most of, outside quotation marks, or what a spreadsheet says in
    a line before, ``sep=;``.
    """
    for number, line in enumerate(iter(stream.readline, ""), start=1):
        said = re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE)
        if said:
            return said[1], number + 1
        if line.strip():
            bare = re.sub(r'"[^"]*"', "", line)
            stream.seek(0)
            return max(_DELIMITERS, key=bare.count), 1
    return _DELIMITERS[0], 1


def _checked(cells: "pd.Series[str]", check: Check, faults: list[str]) -> list[Any]:
    values: list[Any] = []
    for line, cell in cells.items():
        try:
            values.append(check(cell.strip()))
        except ValueError as error:
            faults.append(f"line {line}, {cells.name}: {error}")
            values.append(None)
    return values


def _row_faults(frame: "pd.DataFrame", check: RowCheck) -> list[str]:
    faults = []
    for line, row in zip(frame.index, frame.to_dict("records"), strict=True):
        try:
            check(row)
        except ValueError as error:
            faults.append(f"line {line}: {error}")
    return faults


def _box_faults(frame: "pd.DataFrame", corners: tuple[str, str, str, str]) -> list[str]:
    faults = []
    for line, *row in frame[list(corners)].itertuples():
        known = [value is not None and value == value for value in row]  # noqa: PLR0124 - NaN
        if not any(known):
            continue
        if not all(known):
            faults.append(f"line {line}: a box needs all of {', '.join(corners)}")
        elif row[0] >= row[2] or row[1] >= row[3]:
            faults.append(f"line {line}: the box {tuple(row)} has no area")
    return faults
