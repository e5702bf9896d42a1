"""Tables, read and checked by their format: every bad row is reported at once."""

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

Check = Callable[[str], Any]
"""From a cell's text to its value; raises ValueError with the reason."""

RowCheck = Callable[[Mapping[str, Any]], None]
"""Looks at a whole row whose cells are good; raises ValueError with the reason."""


_DELIMITERS: Final = (",", ";", "\t")


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
        counts the file's rows. Where the format has a key, a row that is repeated to the letter is
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
            faults.append(f"line {line + 2}: {named} is there twice, with other cells")
    if layout.row is not None and not faults:
        faults += _row_faults(frame, layout.row)
    if faults:
        listed = "\n  ".join(faults)
        raise TableError(f"{path}: {len(faults)} faults\n  {listed}")
    return frame


def read_cells(path: Path) -> "pd.DataFrame":
    """Read a table of any format, every cell as its text; raises TableError where it is none.

    A name that ends in ``.parquet`` is read as Parquet, any other as CSV: in UTF-8 or UTF-16,
    its cells parted by commas, semicolons or tabulators, as its first line tells.
    """
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        return _parquet_cells(path)
    try:
        encoding = _encoding_of(path)
        return pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            encoding=encoding,
            sep=_delimiter_of(path, encoding),
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise TableError(f"{path} cannot be read as a CSV table: {error}") from error


def _parquet_cells(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        frame = pd.read_parquet(path).reset_index(drop=True)
    except ImportError as error:
        raise TableError(
            f"{path}: to read Parquet, pyarrow is needed: pip install pyarrow"
        ) from error
    except (ValueError, OSError) as error:
        raise TableError(f"{path} cannot be read as a Parquet table: {error}") from error
    frame.columns = frame.columns.map(str)
    return frame.map(_as_text)


def _as_text(value: Any) -> str:
    """Write a cell of a Parquet file as a CSV file would hold it."""
    import pandas as pd

    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return str(value)
    return "" if value is None or pd.isna(value) else str(value)


def _encoding_of(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        return "utf-16"
    if len(start) == 2 and 0 in start:
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8-sig"


def _delimiter_of(path: Path, encoding: str) -> str:
    """Tell what parts the cells: what the first line has most of, outside quotation marks."""
    with path.open(encoding=encoding, newline="") as stream:
        bare = re.sub(r'"[^"]*"', "", stream.readline())
    return max(_DELIMITERS, key=bare.count)


def _checked(cells: "pd.Series[str]", check: Check, faults: list[str]) -> list[Any]:
    values: list[Any] = []
    for line, cell in enumerate(cells, start=2):
        try:
            values.append(check(cell.strip()))
        except ValueError as error:
            faults.append(f"line {line}, {cells.name}: {error}")
            values.append(None)
    return values


def _row_faults(frame: "pd.DataFrame", check: RowCheck) -> list[str]:
    faults = []
    for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
        try:
            check(row)
        except ValueError as error:
            faults.append(f"line {index + 2}: {error}")
    return faults


def _box_faults(frame: "pd.DataFrame", corners: tuple[str, str, str, str]) -> list[str]:
    faults = []
    for line, row in enumerate(frame[list(corners)].itertuples(index=False), start=2):
        known = [value is not None and value == value for value in row]  # noqa: PLR0124 - NaN
        if not any(known):
            continue
        if not all(known):
            faults.append(f"line {line}: a box needs all of {', '.join(corners)}")
        elif row[0] >= row[2] or row[1] >= row[3]:
            faults.append(f"line {line}: the box {tuple(row)} has no area")
    return faults
