"""Lists of studies to fetch: one a line, by UID, accession number, or patient and dates."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError

COLUMNS: Final = ("study_instance_uid", "accession_number", "patient_id", "from", "to")
"""Columns of a list; each line needs one of the first three."""

_LARGEST_BYTES: Final = 100_000_000
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
_DATE: Final = re.compile(r"[0-9]{8}")
_LONGEST: Final = 64


class StudyListError(NodeError):
    """The list cannot be used as it is; the message says what to change."""

    reason = "study-list"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedStudy:
    """One line of a list.

    Attributes
    ----------
    line : number in the file, from 1
    first_date, last_date : ``YYYYMMDD``; empty: any
    """

    line: int
    study_instance_uid: str = ""
    accession_number: str = ""
    patient_id: str = ""
    first_date: str = ""
    last_date: str = ""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not used, and why; without its values, which may be about a patient."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyList:
    """What a list asks for, and its bad lines."""

    wanted: Sequence[WantedStudy]
    bad: Sequence[BadLine]


def read_list(path: Path) -> StudyList:
    """Read a CSV file with a heading, separated by commas, semicolons or tabs.

    Raises
    ------
    StudyListError
        It is no such file, or its heading names none of `COLUMNS`.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        raise StudyListError(f"{path} is larger than {_LARGEST_BYTES} bytes: divide it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyListError(f"{path} is not UTF-8 text: save it as CSV UTF-8") from error
    heading = text.partition("\n")[0]
    delimiter = next((char for char in ";\t" if char in heading), ",")
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    names = [name.strip().lower().replace(" ", "_") for name in next(reader, [])]
    if not set(names) & set(COLUMNS[:3]):
        raise StudyListError(
            f"{path}: the first line must name at least one of {', '.join(COLUMNS[:3])}"
        )
    wanted: list[WantedStudy] = []
    bad: list[BadLine] = []
    seen: dict[tuple[str, ...], int] = {}
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        values = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
        key = tuple(values.get(name, "") for name in COLUMNS)
        reason = next(_faults(values, len(cells) - len(names)), "")
        if not reason and key in seen:
            reason = f"the same as line {seen[key]}"
        if reason:
            bad.append(BadLine(reader.line_num, reason))
            continue
        seen[key] = reader.line_num
        uid, accession, patient, first, last = key
        wanted.append(
            WantedStudy(
                line=reader.line_num,
                study_instance_uid=uid,
                accession_number=accession,
                patient_id=patient,
                first_date=first,
                last_date=last,
            )
        )
    return StudyList(wanted=wanted, bad=bad)


def _faults(values: Mapping[str, str], too_many: int) -> Iterator[str]:
    if too_many > 0:
        yield "more values than the heading names"
    given = [name for name in COLUMNS[:3] if values.get(name)]
    if not given:
        yield f"no value for any of {', '.join(COLUMNS[:3])}"
    uid = values.get("study_instance_uid", "")
    if uid and (len(uid) > _LONGEST or not _UID.fullmatch(uid)):
        yield "study_instance_uid is not a UID"
    for name in ("accession_number", "patient_id"):
        value = values.get(name, "")
        # They would be wild cards or several values for the archive, which answers with others.
        if any(char in "*?\\" or not char.isprintable() for char in value):
            yield f"{name} holds one of * ? \\ or a control character"
        if len(value) > _LONGEST:
            yield f"{name} is longer than {_LONGEST} characters"
    dates = [values.get(name, "") for name in ("from", "to")]
    if any(date and not _DATE.fullmatch(date) for date in dates):
        yield "from and to are dates such as 20260131"
    if all(dates) and dates[0] > dates[1]:
        yield "from is later than to"
