"""Reads a table of what turned out to be true of studies, by accession number or study UID."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dicom_node.facts.assessed_results import Decision
from dicom_node.listed_lines import BadLine, Line, lines_in, read_lines

COLUMNS: Final = (
    "accession_number",
    "study_instance_uid",
    "laterality",
    "finding",
    "truth",
    "date",
)
"""Columns of a table; each line needs one of the first two, and truth."""

_TRUTHS: Final[Mapping[str, Decision]] = {
    **dict.fromkeys(("positive", "1", "true", "yes", "cancer"), Decision.POSITIVE),
    **dict.fromkeys(("negative", "0", "false", "no", "normal", "benign"), Decision.NEGATIVE),
}
_SIDES: Final = {"": "", "l": "L", "left": "L", "r": "R", "right": "R", "b": "B", "both": "B"}
_LONGEST: Final = 64
_NEEDS: Final = (("truth",), COLUMNS[:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One line.

    Attributes
    ----------
    line : number in the file, from 1
    laterality : ``L``, ``R``, ``B``, or empty for the examination
    known_at : aware; None if the line has no date
    """

    line: int
    accession_number: str
    study_instance_uid: str
    laterality: str
    finding: str
    truth: Decision
    known_at: datetime | None

    def origin(self, study_instance_uid: str) -> str:
        """Return by what the line is known again, in this table or a longer one."""
        parts = (study_instance_uid, self.laterality, self.finding, self.truth, str(self.known_at))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_truths(path: Path) -> tuple[Sequence[Truth], Sequence[BadLine]]:
    """Read a CSV file with a heading, separated by commas, semicolons or tabs.

    Raises
    ------
    ListedLinesError
        It is no such file, or its heading lacks a column.
    """
    return _truths(*read_lines(path, COLUMNS, needs=_NEEDS))


def truths_in(content: bytes, name: str) -> tuple[Sequence[Truth], Sequence[BadLine]]:
    """Read the content of such a file.

    Parameters
    ----------
    name : of the file, for messages
    """
    return _truths(*lines_in(content, name, COLUMNS, needs=_NEEDS))


def _truths(lines: list[Line], bad: list[BadLine]) -> tuple[list[Truth], list[BadLine]]:
    truths: list[Truth] = []
    for line in lines:
        values = line.values
        reason = next(_faults(values), "")
        if reason:
            bad.append(BadLine(line.number, reason))
            continue
        truths.append(
            Truth(
                line=line.number,
                accession_number=values.get("accession_number", ""),
                study_instance_uid=values.get("study_instance_uid", ""),
                laterality=_SIDES[values.get("laterality", "").lower()],
                finding=values.get("finding", ""),
                truth=_TRUTHS[values["truth"].lower()],
                known_at=_moment(values.get("date", "")),
            )
        )
    return truths, sorted(bad, key=lambda one: one.line)


def _faults(values: Mapping[str, str]) -> Iterator[str]:
    if not values.get("accession_number") and not values.get("study_instance_uid"):
        yield f"no value for {COLUMNS[0]} or {COLUMNS[1]}"
    if values.get("truth", "").lower() not in _TRUTHS:
        yield f"truth is none of {', '.join(_TRUTHS)}"
    if values.get("laterality", "").lower() not in _SIDES:
        yield "laterality is none of L, R, B"
    if any(len(value) > _LONGEST for value in values.values()):
        yield f"a value is longer than {_LONGEST} characters"
    try:
        _moment(values.get("date", ""))
    except ValueError:
        yield "date is no date such as 2026-11-29"


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
