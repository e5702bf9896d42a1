"""Keeps the lines of a table of truths with their studies, and lists all that is kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.assessments.accession_numbers import studies_of_accession
from dicom_node.assessments.truth_table import Truth
from dicom_node.facts.assessed_results import Assessed
from dicom_node.listed_lines import BadLine
from dicom_node.studies.ledger.assessments import keep_truth, kept_assessments
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.tables import Study

ASSESSMENT_COLUMNS: Final[dict[str, type]] = {
    "study": str,
    "decision": str,
    "laterality": str,
    "finding": str,
    "tracking_uid": str,
    "sop_instance_uid": str,
    "code": str,
    "scheme": str,
    "meaning": str,
    "reader": str,
    "comment": str,
    "assessed_at": str,
    "recorded_at": str,
}
"""Columns of the table of all that is kept."""

_PORTION: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How many lines were new, how many had been kept before, and which are of no study."""

    new: int
    known: int
    bad: Sequence[BadLine]


def keep_truths(database: Database, truths: Iterable[Truth], key: bytes) -> Kept:
    """Keep each line with its study; a line that is of none, or of several, is not kept.

    Parameters
    ----------
    key : of the installation, under which accession numbers are digested
    """
    new = known = 0
    bad: list[BadLine] = []
    for one in truths:
        # A transaction for each: the node goes on beside it, and what was kept stays so.
        with database.writing() as session:
            found = _studies(session, one, key)
            if len(found) != 1:
                reason = (
                    "several studies have it: give study_instance_uid"
                    if found
                    else ("no study of the ledger has it, as far as its files tell")
                )
                bad.append(BadLine(one.line, reason))
                continue
            study = session.get_one(Study, found[0])
            is_new = keep_truth(
                session,
                study.id,
                Assessed(
                    decision=one.truth,
                    code="",
                    scheme="",
                    meaning="",
                    laterality=one.laterality,
                ),
                finding=one.finding,
                origin=one.origin(study.study_instance_uid),
                assessed_at=one.known_at,
                at=database_time(session),
            )
        new, known = new + is_new, known + (not is_new)
    return Kept(new=new, known=known, bad=bad)


def assessment_rows(database: Database) -> Iterator[dict[str, Any]]:
    """Yield all that is kept, a portion at a time."""
    after = 0
    while True:
        with database.reading() as session:
            rows = kept_assessments(session, after=after, limit=_PORTION)
        for row, study in rows:
            after = row.id
            yield {
                "study": study,
                "decision": row.decision,
                "laterality": row.laterality,
                "finding": row.finding,
                "tracking_uid": row.tracking_uid,
                "sop_instance_uid": row.sop_instance_uid,
                "code": row.code,
                "scheme": row.scheme,
                "meaning": row.meaning,
                "reader": row.reader,
                "comment": row.comment,
                "assessed_at": "" if row.assessed_at is None else row.assessed_at.isoformat(),
                "recorded_at": row.recorded_at.isoformat(timespec="seconds"),
            }
        if len(rows) < _PORTION:
            return


def _studies(session: Session, one: Truth, key: bytes) -> list[int]:
    if one.study_instance_uid:
        query = select(Study.id).where(Study.study_instance_uid == one.study_instance_uid)
        return list(session.scalars(query))
    return studies_of_accession(session, one.accession_number, key)
