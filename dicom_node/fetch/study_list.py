"""Lists of studies to fetch: one a line, by UID, accession number, or patient and dates."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from dicom_node.listed_lines import BadLine, read_lines

COLUMNS: Final = ("study_instance_uid", "accession_number", "patient_id", "from", "to")
"""Columns of a list; each line needs one of the first three."""

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
_SHORTENED: Final = re.compile(r"[0-9]([.,][0-9]+)?[Ee]\+[0-9]+")
"""As spreadsheets show, and save, a number of many digits."""

_LONGEST: Final = 64


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyList:
    """What a list asks for, and its bad lines."""

    wanted: Sequence[WantedStudy]
    bad: Sequence[BadLine]


def read_list(path: Path) -> StudyList:
    """Read a CSV file with a heading, separated by commas, semicolons or tabs.

    Raises
    ------
    ListedLinesError
        It is no such file, or its heading names none of the columns that tell a study.
    """
    lines, bad = read_lines(path, COLUMNS, needs=[COLUMNS[:3]])
    wanted: list[WantedStudy] = []
    seen: dict[tuple[str, ...], int] = {}
    for line in lines:
        key = tuple(line.values.get(name, "") for name in COLUMNS)
        reason = next(_faults(line.values), "")
        if not reason and key in seen:
            reason = f"the same as line {seen[key]}"
        if reason:
            bad.append(BadLine(line.number, reason))
            continue
        seen[key] = line.number
        uid, accession, patient, first, last = key
        wanted.append(
            WantedStudy(
                line=line.number,
                study_instance_uid=uid,
                accession_number=accession,
                patient_id=patient,
                first_date=first,
                last_date=last,
            )
        )
    return StudyList(wanted=wanted, bad=sorted(bad, key=lambda one: one.line))


def _faults(values: Mapping[str, str]) -> Iterator[str]:
    given = [name for name in COLUMNS[:3] if values.get(name)]
    if not given:
        yield f"no value for any of {', '.join(COLUMNS[:3])}"
    uid = values.get("study_instance_uid", "")
    if uid and (len(uid) > _LONGEST or not _UID.fullmatch(uid)):
        yield "study_instance_uid is not a UID"
    for name in ("accession_number", "patient_id"):
        value = values.get(name, "")
        # They would be wild cards or several values for the archive, which answers with others.
        if any(char in "*?\\" for char in value):
            yield f"{name} holds one of * ? \\"
        if _SHORTENED.fullmatch(value):
            yield f"{name} was shortened by a spreadsheet: make its column one of text"
        if len(value) > _LONGEST:
            yield f"{name} is longer than {_LONGEST} characters"
    dates = [values.get(name, "") for name in ("from", "to")]
    if any(date and not _is_date(date) for date in dates):
        yield "from and to are dates such as 20260131"
    if all(dates) and dates[0] > dates[1]:
        yield "from is later than to"


def _is_date(text: str) -> bool:
    try:
        return f"{datetime.strptime(text, '%Y%m%d'):%Y%m%d}" == text
    except ValueError:
        return False
