"""What the pages ask the ledger besides what commands ask."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Study

_SENDERS_OF: Final = timedelta(days=7)
_LATEST: Final = 200
_RATE_OF: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who has sent something in the last week."""

    name: str
    last_at: datetime
    studies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAnalysis:
    """An analysis that a worker has in hand."""

    study_instance_uid: str
    revision: int
    holder: str
    since: datetime | None
    lease_expires_at: datetime | None
    attempts: int


def senders(session: Session, now: datetime) -> list[Sender]:
    """Return who has sent in the last week, with the last object of each; the latest first."""
    query = (
        select(
            Study.calling_ae_title,
            func.max(Study.last_received_at).label("last_at"),
            func.count(Study.id),
        )
        .where(
            Study.last_received_at >= now - _SENDERS_OF,
            Study.study_instance_uid != CANARY_STUDY,
        )
        .group_by(Study.calling_ae_title)
        .order_by(func.max(Study.last_received_at).desc())
    )
    return [
        Sender(name=name or "unknown", last_at=last_at, studies=count)
        for name, last_at, count in session.execute(query)
    ]


def expected_end(session: Session, now: datetime, waiting: int) -> datetime | None:
    """Return when what waits will be analysed if it goes on as in the last half hour.

    None if nothing waits, or nothing was analysed meanwhile.
    """
    newest = select(Analysis.finished_at).order_by(Analysis.id.desc()).limit(_LATEST)
    ends = sorted(end for end in session.scalars(newest) if end and end >= now - _RATE_OF)
    if not waiting or len(ends) < 2:
        return None
    pace = (now - ends[0]) / len(ends)
    return now + pace * waiting


def running_analyses(session: Session) -> list[RunningAnalysis]:
    """Return what workers analyse just now, the longest first."""
    query = (
        select(Analysis, Study.study_instance_uid)
        .join(Study, Study.id == Analysis.study_id)
        .where(in_states(Analysis, AnalysisState.RUNNING))
        .order_by(Analysis.id)
        .limit(_LATEST)
    )
    return [
        RunningAnalysis(
            study_instance_uid=uid,
            revision=row.revision,
            holder=row.lease_holder,
            since=row.dispatched_at,
            lease_expires_at=row.lease_expires_at,
            attempts=row.attempts,
        )
        for row, uid in session.execute(query)
    ]
