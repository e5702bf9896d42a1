"""Reads tables that people write: CSV files with a heading, one line for each thing."""

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError

_LARGEST_BYTES: Final = 100_000_000
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_ALIKE: Final = 0.75


class ListedLinesError(NodeError):
    """The file cannot be used as it is; the message says what to change."""

    reason = "list"


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes
    ----------
    number : in the file, from 1
    values : by the names of the heading, without spaces around them
    """

    number: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not used, and why; without its values, which may be about a patient."""

    line: int
    reason: str


def read_lines(
    path: Path, columns: Sequence[str], *, needs: Sequence[Collection[str]]
) -> tuple[list[Line], list[BadLine]]:
    """Read a CSV file with a heading; see `lines_in`."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise ListedLinesError(f"{path} is larger than {_LARGEST_BYTES} bytes: divide it")
    return lines_in(path.read_bytes(), str(path), columns, needs=needs)


def lines_in(
    content: bytes, name: str, columns: Sequence[str], *, needs: Sequence[Collection[str]]
) -> tuple[list[Line], list[BadLine]]:
    """Read the content of a CSV file with a heading, separated by commas, semicolons or tabs.

    Each line is read by itself: a quotation mark that is not closed costs its own line, and never
    those behind it.

    Parameters
    ----------
    name : of the file, for messages
    columns : names that are known; others are passed over
    needs : of each of these groups of names the heading must have one

    Raises
    ------
    ListedLinesError
        It is no such file, or its heading lacks a name, has one twice, or one that is misspelt.
    """
    heading, *texts = _LINE_END.split(_text_of(content, name))
    delimiter = next((char for char in ";\t" if char in heading), ",")
    names = _names_in(name, heading, delimiter)
    _require_names(name, names, columns, needs)
    lines: list[Line] = []
    bad: list[BadLine] = []
    for number, text in enumerate(texts, 2):
        try:
            cells = _cells_of(text, delimiter)
        except csv.Error as error:
            bad.append(BadLine(number, f"it is no line of a CSV file: {error}"))
            continue
        if not any(cells):
            continue
        if len(cells) > len(names):
            bad.append(BadLine(number, "more values than the heading names"))
        elif not all(cell.isprintable() for cell in cells):
            bad.append(BadLine(number, "a value holds a control character"))
        else:
            lines.append(Line(number, dict(zip(names, cells, strict=False))))
    return lines, bad


def _text_of(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ListedLinesError(f"{name} is not UTF-8 text: save it as CSV UTF-8") from error


def _names_in(file: str, heading: str, delimiter: str) -> list[str]:
    try:
        return [name.lower().replace(" ", "_") for name in _cells_of(heading, delimiter)]
    except csv.Error as error:
        raise ListedLinesError(f"{file}: the first line is none of a CSV file: {error}") from error


def _require_names(
    file: str, names: Sequence[str], columns: Sequence[str], needs: Sequence[Collection[str]]
) -> None:
    if not all(set(names) & set(group) for group in needs):
        wanted = ", and ".join(" or ".join(group) for group in needs)
        raise ListedLinesError(f"{file}: the first line must name {wanted}")
    for name in names:
        if name in columns and names.count(name) > 1:
            raise ListedLinesError(f"{file}: the first line names {name} twice")
        missing = [column for column in columns if column not in names]
        close = get_close_matches(name, missing, n=1, cutoff=_ALIKE)
        if name not in columns and close:
            raise ListedLinesError(
                f"{file}: no column is called {name[:64]}; did you mean {close[0]}?"
            )


def _cells_of(text: str, delimiter: str) -> list[str]:
    cells = next(csv.reader([text], delimiter=delimiter, strict=True), [])
    return [cell.strip() for cell in cells]
