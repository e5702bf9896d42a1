"""The reports that retrieval is judged on, with the pictures of their breasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from training.data.breast_records import with_folds
from training.data.image_files import find_named
from training.data.picture_check import require_usable
from training.data.table_formats import IMAGE_TEXT
from training.data.table_reading import read_table
from training.errors import TableError
from training.reports.report_text import sentences_of, to_cell
from training.terminal import NOTHING_SAID, Say

_FOLD: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedReports:
    """Images, and which of the distinct reports each one's breast has.

    Attributes
    ----------
    table : that they were read from
    files : images
    own : one an image
        Place of its report in `texts`.
    patients : one an image
    texts : the distinct reports
    """

    table: Path
    files: tuple[Path, ...]
    own: tuple[int, ...]
    patients: tuple[str, ...]
    texts: tuple[str, ...]


def read_judged_reports(
    table: Path,
    folders: Sequence[Path],
    *,
    skip_unreadable: bool = False,
    say: Say = NOTHING_SAID,
) -> JudgedReports:
    """Read the reports of fold 0 and find their pictures.

    A table without folds has those that pretraining gives it: what it learned from is not judged.

    Parameters
    ----------
    folders : where pictures lie
    skip_unreadable : bool
        Leave out missing and damaged pictures; they are refused otherwise.

    Raises
    ------
    TableError
        The table is none of reports, none of its rows is of fold 0, or pictures are missing.
    """
    rows = with_folds(read_table(table, IMAGE_TEXT))
    judged = rows[rows["fold"] == _FOLD]
    if judged.empty:
        known = ", ".join(map(str, sorted(set(rows["fold"]))))
        raise TableError(
            f"{table}: retrieval is judged on the reports of fold {_FOLD}, and the folds are "
            f"{known}: give fold {_FOLD} to the patients that were held out of pretraining"
        )
    texts = [_text_of(row) for row in judged.to_dict("records")]
    places = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    asked = [
        (name, places[text], row["patient_id"])
        for row, text in zip(judged.to_dict("records"), texts, strict=True)
        for name in _images_of(row)
    ]
    files = _files_of([name for name, _, _ in asked], folders, table, skip_unreadable)
    gone = require_usable(files, skip=skip_unreadable, say=say)
    if len(gone) == len(set(files)):
        raise TableError(f"{table}: no picture of a report of fold {_FOLD} can be used")
    left = [
        (file, *of_image[1:])
        for file, of_image in zip(files, asked, strict=True)
        if file not in gone
    ]
    return JudgedReports(
        table=table,
        files=tuple(file for file, _, _ in left),
        own=tuple(place for _, place, _ in left),
        patients=tuple(patient for _, _, patient in left),
        texts=tuple(places),
    )


def _text_of(row: Mapping[str, Any]) -> str:
    """Return a report as one text; a table without the column `text` has it in its sections."""
    sections = row.get("text") or [
        to_cell(sentences_of(row[name])) for name in ("findings", "impressions")
    ]
    return " ".join(section for section in sections if section)


def _images_of(row: Mapping[str, Any]) -> Sequence[str]:
    """Return a breast's images; a table without the column `image` has them by view."""
    return row.get("image") or list(dict.fromkeys((*row["CC"], *row["MLO"])))


def _files_of(
    names: Sequence[str], folders: Sequence[Path], table: Path, may_be_missing: bool
) -> list[Path]:
    """Return each picture's file: at its path below a folder, else wherever its name is found."""
    found = {
        name: place
        for name in names
        for folder in reversed(folders)
        if (place := folder / name).is_file()
    }
    unknown = [name for name in dict.fromkeys(names) if name not in found]
    elsewhere = find_named(
        folders,
        [_group_of(name) for name in unknown],
        [Path(name).stem for name in unknown],
        table,
        may_be_missing=may_be_missing,
    )
    found |= dict(zip(unknown, elsewhere, strict=True))
    return [found[name] for name in names]


def _group_of(name: str) -> str:
    folder = Path(name).parent.as_posix()
    return "" if folder == "." else folder
