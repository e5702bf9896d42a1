"""Keeps what readers say of results beside the finding, and what turned out to be true."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Delete, delete, exists, select, text
from sqlalchemy.orm import Session

from dicom_node.facts.assessed_results import Assessed, AssessmentReport
from dicom_node.studies.ledger.assessment_tables import (
    REPORTS,
    AccessionDigest,
    Assessment,
    AssessmentDocument,
)
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingReport:
    """A structured report that was not looked at yet."""

    instance_id: int
    study_id: int | None
    place: str
    receipt: str


def waiting_reports(
    session: Session, spool_id: int, senders: Sequence[str], *, after: int, limit: int
) -> list[WaitingReport]:
    """List reports of some senders in the order in which they were registered.

    Parameters
    ----------
    after : number of the last one that was listed before
    """
    looked_at = exists().where(AssessmentDocument.instance_id == Instance.id)
    rows = session.execute(
        select(Instance.id, Instance.study_id, Instance.place, Instance.receipt)
        .where(
            text(REPORTS),
            Instance.id > after,
            Instance.spool_id == spool_id,
            Instance.calling_ae_title.in_(senders),
            ~looked_at,
        )
        .order_by(Instance.id)
        .limit(limit)
    )
    return [
        WaitingReport(instance_id=one, study_id=study, place=at, receipt=receipt)
        for one, study, at, receipt in rows
    ]


def keep_report(
    session: Session, waiting: WaitingReport, report: AssessmentReport, *, at: datetime
) -> str:
    """Keep what a report says, once; return why nothing of it is kept, or nothing."""
    problem = ""
    analysis_id = None
    if waiting.study_id is not None:
        analysis_id = _assessed_analysis(session, waiting.study_id, report)
    if waiting.study_id is None or analysis_id is None:
        problem = "it refers to no result that this node has made of the study"
    elif not report.assessed:
        problem = "it holds no decision that is known: see receive.assessment_decisions"
    elif not _is_kept(session, report.sop_instance_uid):
        session.add_all(
            _row(
                one,
                study_id=waiting.study_id,
                analysis_id=analysis_id,
                origin=report.sop_instance_uid,
                number=number,
                reader=report.reader,
                assessed_at=_moment(report.assessed_at),
                at=at,
            )
            for number, one in enumerate(report.assessed)
        )
    note_report(session, waiting, problem, at=at)
    return problem


def note_report(session: Session, waiting: WaitingReport, problem: str, *, at: datetime) -> None:
    """Record that a report was looked at, so that it is not looked at again."""
    session.add(AssessmentDocument(instance_id=waiting.instance_id, looked_at=at, problem=problem))


def keep_truth(
    session: Session,
    study_id: int,
    assessed: Assessed,
    *,
    finding: str,
    origin: str,
    assessed_at: datetime | None,
    at: datetime,
) -> bool:
    """Keep what is known to be true of a study, once; return whether it is new."""
    if _is_kept(session, origin):
        return False
    row = _row(
        assessed,
        study_id=study_id,
        analysis_id=None,
        origin=origin,
        number=0,
        reader="",
        assessed_at=assessed_at,
        at=at,
    )
    row.finding = finding
    session.add(row)
    return True


def kept_assessments(
    session: Session, *, after: int = 0, limit: int = 1000
) -> list[tuple[Assessment, str]]:
    """List assessments with the UID of their study, in the order in which they were kept."""
    query = (
        select(Assessment, Study.study_instance_uid)
        .join(Study, Study.id == Assessment.study_id)
        .where(Assessment.id > after)
        .order_by(Assessment.id)
        .limit(limit)
    )
    return [(row, uid) for row, uid in session.execute(query)]


def assessments_of(study_id: int, instance_ids: Iterable[int]) -> Iterator[Delete]:
    """Yield what deletes all that is kept of a study, for whoever erases it."""
    yield delete(Assessment).where(Assessment.study_id == study_id)
    documents = AssessmentDocument.instance_id.in_(list(instance_ids))
    yield delete(AssessmentDocument).where(documents)
    yield delete(AccessionDigest).where(AccessionDigest.study_id == study_id)


def _assessed_analysis(session: Session, study_id: int, report: AssessmentReport) -> int | None:
    """Return the newest analysis of whose results a report speaks."""
    uids = {*report.references, *(one.sop_instance_uid for one in report.assessed)} - {""}
    portions: list[ColumnElement[bool]] = [
        ResultObject.sop_instance_uid.in_(sorted(uids)[first : first + 500])
        for first in range(0, len(uids), 500)
    ]
    found = [
        session.scalars(
            select(ResultObject.analysis_id)
            .join(Analysis, Analysis.id == ResultObject.analysis_id)
            .where(Analysis.study_id == study_id, one)
            .order_by(ResultObject.analysis_id.desc())
        ).first()
        for one in portions
    ]
    return max((one for one in found if one is not None), default=None)


def _is_kept(session: Session, origin: str) -> bool:
    query = select(Assessment.id).where(Assessment.origin == origin)
    return session.scalars(query).first() is not None


def _row(one: Assessed, *, at: datetime, **columns: Any) -> Assessment:
    return Assessment(
        decision=str(one.decision),
        code=one.code,
        scheme=one.scheme,
        meaning=one.meaning,
        tracking_uid=one.tracking_uid,
        sop_instance_uid=one.sop_instance_uid,
        laterality=one.laterality,
        comment=one.comment,
        recorded_at=at,
        **columns,
    )


def _moment(text: str) -> datetime | None:
    for form in ("%Y%m%d%H%M%S%z", "%Y%m%d%H%M%S"):
        try:
            moment = datetime.strptime(text, form)
        except ValueError:
            continue
        # Without an offset that of the machine, on which the site's clocks are.
        return moment.astimezone(UTC)
    return None
