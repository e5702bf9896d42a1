"""The scores of all studies as rows of one table."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from dicom_node.studies.ledger.queries.answers import StandingAnswer
from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings_document import from_json
from mammoclip_core.many_studies.rows import COLUMNS, identity_of, rows_of

SCORE_COLUMNS: Final[dict[str, type]] = {
    "answered_at": str,
    "revision": int,
    "rule": str,
    "result_rules": str,
    **COLUMNS,
}
"""Columns of the table: those of `mammoclip-predict images`, and of which answer a row is."""


def score_rows(answers: Iterable[StandingAnswer]) -> Iterator[dict[str, Any]]:
    """Yield the rows of each answer; one with the reason for an answer that cannot be read."""
    for one in answers:
        about = {
            "answered_at": one.answered_at.isoformat(timespec="seconds"),
            "revision": one.revision,
            "rule": one.rule,
            "result_rules": one.result_rules,
        }
        try:
            findings = from_json(one.findings)
        except FindingsFormatError as error:
            reason = f"the answer in the ledger cannot be read: {error}"
            yield {**about, "study": one.study_instance_uid, "level": "study", "reason": reason}
            continue
        shared = about | identity_of(findings)
        for row in rows_of(one.study_instance_uid, findings, {}):
            yield shared | row
