"""What a table's cell may hold: from its text to its value.

Each raises ValueError with the reason where the text is no such value.
"""

import ast
import re
from typing import Final

from training.data.table_reading import Check

_AGE: Final = re.compile(r"([0-9]+(?:[.,][0-9]*)?)Y?")


def plain(cell: str) -> str:
    """Return a word without case, spaces around it, and the ``.0`` of a whole number."""
    word = cell.strip().casefold()
    return word[:-2] if word.endswith(".0") and word[:-2].isdecimal() else word


def text(cell: str) -> str:
    """Read a text that must be there."""
    if not cell:
        raise ValueError("is empty")
    return cell


def any_text(cell: str) -> str:
    """Read a text, or nothing."""
    return cell


def one_of(*words: str) -> Check:
    """Return a check that takes these words alone."""

    def check(cell: str) -> str:
        if cell not in words:
            raise ValueError(f"{cell!r} is not one of {', '.join(words)}")
        return cell

    return check


def whole(cell: str) -> int:
    """Read a whole number, however it is written (``3.0``)."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a whole number") from None
    if not value.is_integer():
        raise ValueError(f"{cell!r} is not a whole number")
    return int(value)


def positive(cell: str) -> int:
    """Read a whole number above 0."""
    value = whole(cell)
    if value <= 0:
        raise ValueError(f"{cell!r} is not positive")
    return value


def flag(cell: str) -> int:
    """Read yes or no as 1 or 0: a number, or ``true`` and ``false`` in any case."""
    words = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
    if cell.lower() not in words:
        raise ValueError(f"{cell!r} is neither 0 nor 1")
    return words[cell.lower()]


def number(cell: str) -> float:
    """Read a number; an empty cell is NaN."""
    try:
        value = float(cell) if cell else float("nan")
    except ValueError:
        raise ValueError(f"{cell!r} is not a number") from None
    if value in {float("inf"), float("-inf")}:
        raise ValueError(f"{cell!r} is not finite")
    return value


def age(cell: str) -> float:
    """Read an age in years, with a decimal comma or of DICOM's form (``063Y``) too.

    An empty cell is NaN.
    """
    if not cell.strip():
        return float("nan")
    found = _AGE.fullmatch(cell.strip())
    if found is None:
        raise ValueError(
            f"{cell!r} is no age in years, as 57, 57.5 or 063Y; leave it empty if it is unknown"
        )
    return float(found[1].replace(",", "."))


def texts(cell: str) -> tuple[str, ...]:
    """Read a Python list of texts that was written as text; nothing in it is executed."""
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"{cell[:60]!r} is not a list") from None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{cell[:60]!r} is not a list of texts")
    return tuple(value)


def names(cell: str) -> tuple[str, ...]:
    """Read names of images: a list as `texts`, one bare name, or nothing."""
    if cell.startswith("["):
        return texts(cell)
    return (cell,) if cell else ()


def side(cell: str) -> str:
    """Read a laterality as L or R."""
    sides = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
    if cell.upper() not in sides:
        raise ValueError(f"{cell!r} is neither L nor R")
    return sides[cell.upper()]


def some_texts(cell: str) -> tuple[str, ...]:
    """Read a list as `texts` that is not empty."""
    value = texts(cell)
    if not value:
        raise ValueError("the list is empty")
    return value
