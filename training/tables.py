"""The published tables, read and checked: every bad row is reported at once."""

import ast
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One published table.

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
        raise TableError(f"{path}: the table has no row")
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
    """Read a table of any format, every cell as its text; raises TableError where it is none."""
    import pandas as pd

    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError) as error:
        raise TableError(f"{path}: no table of comma-separated values: {error}") from error


def image_labels(findings: "pd.DataFrame") -> "pd.DataFrame":
    """Return one row an image from the rows of findings: a label is 1 where any row says so.

    Rows of an image may contradict each other ("no finding" beside a mass): the finding counts.
    """
    from training.report_synthesis import Attribute

    rows = findings.copy()
    for attribute in Attribute:
        rows[attribute.value.replace(" ", "_")] = [
            int(attribute.value in categories) for categories in rows["finding_categories"]
        ]
    labels = {attribute.value.replace(" ", "_"): "max" for attribute in Attribute}
    kept = ("study_id", "laterality", "view_position", "breast_birads", "breast_density", "split")
    how = {**{name: "first" for name in kept if name in rows}, **labels}
    return rows.groupby("image_id", sort=False).agg(how).reset_index()


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


def _text(cell: str) -> str:
    if not cell:
        raise ValueError("is empty")
    return cell


def _any_text(cell: str) -> str:
    return cell


def _one_of(*words: str) -> Check:
    def check(cell: str) -> str:
        if cell not in words:
            raise ValueError(f"{cell!r} is not one of {', '.join(words)}")
        return cell

    return check


def _whole(cell: str) -> int:
    try:
        number = float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is no whole number") from None
    if not number.is_integer():
        raise ValueError(f"{cell!r} is no whole number")
    return int(number)


def _positive(cell: str) -> int:
    number = _whole(cell)
    if number <= 0:
        raise ValueError(f"{cell!r} is not positive")
    return number


def _flag(cell: str) -> int:
    words = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1}
    if cell not in words:
        raise ValueError(f"{cell!r} is neither 0 nor 1")
    return words[cell]


def _number(cell: str) -> float:
    """Read a number; an empty cell is NaN."""
    try:
        number = float(cell) if cell else float("nan")
    except ValueError:
        raise ValueError(f"{cell!r} is no number") from None
    if number in {float("inf"), float("-inf")}:
        raise ValueError(f"{cell!r} is not finite")
    return number


def _texts(cell: str) -> tuple[str, ...]:
    """Read a Python list of texts that was written as text; nothing in it is executed."""
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"{cell[:60]!r} is no list") from None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{cell[:60]!r} is no list of texts")
    return tuple(value)


def _names(cell: str) -> tuple[str, ...]:
    """Read names of images: a list as `_texts`, one bare name, or nothing."""
    if cell.startswith("["):
        return _texts(cell)
    return (cell,) if cell else ()


def _side(cell: str) -> str:
    sides = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
    if cell.upper() not in sides:
        raise ValueError(f"{cell!r} is neither L nor R")
    return sides[cell.upper()]


def _breast_has_image_and_report(row: Mapping[str, Any]) -> None:
    from training.report_text import sentences_of

    if not row["CC"] and not row["MLO"]:
        raise ValueError("neither CC nor MLO names an image")
    if not sentences_of(row["findings"]) and not sentences_of(row["impressions"]):
        raise ValueError("findings and impressions are empty")


def _some_texts(cell: str) -> tuple[str, ...]:
    texts = _texts(cell)
    if not texts:
        raise ValueError("the list is empty")
    return texts


_SIDE: Final = _one_of("L", "R")
_SPLIT: Final = _one_of("training", "test")
_BIRADS: Final = _one_of(*(f"BI-RADS {category}" for category in range(7)))
_DENSITY: Final = _one_of("DENSITY A", "DENSITY B", "DENSITY C", "DENSITY D")
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_RESIZED: Final = ("resized_xmin", "resized_ymin", "resized_xmax", "resized_ymax")

IMAGE_TEXT: Final = Format(
    columns={
        "patient_id": _text,
        "laterality": _side,
        "CC": _names,
        "MLO": _names,
        "findings": _any_text,
        "impressions": _any_text,
    },
    optional={"image": _names, "view": _texts, "text": _texts, "fold": _whole},
    group="patient_id",
    key=("patient_id", "laterality"),
    row=_breast_has_image_and_report,
)
"""One row a patient and side: its images by view and its report, findings before impression."""

REPORTS: Final = Format(
    columns={
        "patient_id": _text,
        "image_id": _text,
        "FINDINGS": _any_text,
        "IMPRESSION": _any_text,
    },
    optional={"laterality": _side, "view": _any_text, "fold": _whole},
    group="patient_id",
    key=("patient_id", "image_id"),
)
"""One row an image, with the report of its breast as it was dictated."""

_VINDR_IMAGE: Final[Mapping[str, Check]] = {
    "study_id": _text,
    "series_id": _text,
    "image_id": _text,
    "laterality": _SIDE,
    "view_position": _text,
    "height": _positive,
    "width": _positive,
    "breast_birads": _BIRADS,
    "breast_density": _DENSITY,
    "split": _SPLIT,
}

VINDR_FINDINGS: Final = Format(
    columns={
        **_VINDR_IMAGE,
        "finding_categories": _some_texts,
        "finding_birads": _any_text,
        **dict.fromkeys(_CORNERS, _number),
    },
    optional=dict.fromkeys(_RESIZED, _number),
    group="study_id",
    boxes=(_CORNERS, _RESIZED),
)
"""VinDr-Mammo, one row a finding or an image without any. Boxes may begin below 0."""

VINDR_BREASTS: Final = Format(columns=_VINDR_IMAGE, group="study_id", key=("image_id",))
"""VinDr-Mammo, one row an image with the assessment of its breast."""

RSNA: Final = Format(
    columns={
        "site_id": _text,
        "patient_id": _text,
        "image_id": _text,
        "laterality": _SIDE,
        "view": _text,
        "age": _number,
        "cancer": _flag,
        "biopsy": _flag,
        "invasive": _flag,
        "BIRADS": _number,
        "implant": _flag,
        "density": _any_text,
        "machine_id": _text,
        "difficult_negative_case": _flag,
    },
    optional={"fold": _whole},
    group="patient_id",
    key=("image_id",),
)
"""RSNA screening mammography, training table: one row an image."""

_NAMING: Final = ("file", "image_id", "sop_instance_uid")


def _image_is_named(row: Mapping[str, Any]) -> None:
    if not any(row.get(column) for column in _NAMING):
        raise ValueError(f"{' and '.join(_NAMING)} are empty")


PLAIN: Final = Format(
    columns={},
    optional={
        **dict.fromkeys(_NAMING, _any_text),
        "patient_id": _any_text,
        "split": _SPLIT,
        "fold": _whole,
    },
    group="patient_id",
    key=_NAMING,
    any_of=_NAMING,
    row=_image_is_named,
)
"""A table of your own: which image, its patient, and any labels.

An image is named by its file, by an `image_id` that is the file's name or SOP Instance UID, or by
its SOP Instance UID. What the table does not say of patient, laterality and view, the DICOM header
does.
"""

PICTURES: Final = Format(
    columns={"patient_id": _text},
    optional={
        "image": _text,
        "file": _text,
        "laterality": _one_of("", "L", "R"),
        "view": _any_text,
        "split": _SPLIT,
        "mass": _flag,
        "suspicious_calcification": _flag,
        "malignancy": _flag,
        "density": _one_of("", "A", "B", "C", "D"),
    },
    group="patient_id",
    key=("image", "file"),
    any_of=("image", "file"),
)
"""Pictures with a table of your own: each picture's path, its patient, and any labels.

What `prepare` writes of such a table has the path under `image`.
"""

_TELLING: Final = (
    ("finding_categories", VINDR_FINDINGS),
    ("breast_birads", VINDR_BREASTS),
    ("difficult_negative_case", RSNA),
    ("FINDINGS", REPORTS),
    ("impressions", IMAGE_TEXT),
)


def recognised(path: Path) -> Format:
    """Tell a table's format by the column that only it has; a table without any is `PLAIN`."""
    columns = set(read_cells(path).columns)
    return next((layout for column, layout in _TELLING if column in columns), PLAIN)
