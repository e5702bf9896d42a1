"""The answers that stand in the ledger, a few at a time: many years of them are never in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Select, literal, or_, select

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Study

_PORTION: Final = 100
"""Answers that are read at once; each has some kilobytes, with many regions a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAnswer:
    """The newest answer of a study.

    Attributes
    ----------
    rule, result_rules : names of those that took the study and that added to the answer
    findings : the findings document
    """

    study_instance_uid: str
    revision: int
    answered_at: datetime
    rule: str
    result_rules: str
    findings: str


def standing_answers(
    database: Database,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    rule: str = "",
) -> Iterator[StandingAnswer]:
    """Yield the newest answer of each study, in the order in which they were begun.

    Each portion is a transaction of its own, so that nobody waits for whoever reads all.

    Parameters
    ----------
    since, until : of the end of the analysis; `until` itself is left out
    rule : that took the study or added to the answer; empty for any
    """
    last = 0
    while True:
        query = _portion_after(last, since=since, until=until, rule=rule)
        with database.reading() as session:
            rows = session.execute(query).all()
        for analysis_id, uid, revision, at, taken, added, findings in rows:
            last = analysis_id
            assert at is not None and findings is not None, "the query leaves out what has none"
            yield StandingAnswer(
                study_instance_uid=uid,
                revision=revision,
                answered_at=at,
                rule=taken,
                result_rules=added,
                findings=findings,
            )
        if len(rows) < _PORTION:
            return


def _portion_after(
    last: int, *, since: datetime | None, until: datetime | None, rule: str
) -> Select[int, str, int, datetime | None, str, str, str | None]:
    query = (
        select(
            Analysis.id,
            Study.study_instance_uid,
            Analysis.revision,
            Analysis.finished_at,
            Analysis.rule,
            Analysis.result_rules,
            Analysis.findings,
        )
        .join(Study, Study.id == Analysis.study_id)
        .where(
            Analysis.id > last,
            Analysis.state == AnalysisState.DONE,
            Analysis.findings.is_not(None),
            Analysis.finished_at.is_not(None),
            Study.study_instance_uid != CANARY_STUDY,
        )
        .order_by(Analysis.id)
        .limit(_PORTION)
    )
    if since is not None:
        query = query.where(Analysis.finished_at >= since)
    if until is not None:
        query = query.where(Analysis.finished_at < until)
    if rule:
        added = literal(", ").concat(Analysis.result_rules).concat(literal(", "))
        is_added = added.contains(f", {rule}, ", autoescape=True)
        query = query.where(or_(Analysis.rule == rule, is_added))
    return query
