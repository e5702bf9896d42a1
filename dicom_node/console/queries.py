"""What the pages ask the ledger besides what commands ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.destinations.overview import DestinationSummary
from dicom_node.studies.ledger.due.due_work import Work
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.queries.backlog import Backlog, Waiting
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

_SENDERS_OF: Final = timedelta(days=7)
_LATEST: Final = 200
_RATE_OF: Final = timedelta(minutes=30)
_TAKING: Final = frozenset({"ready", "failing", "dry"})
"""Conditions in which a destination is sent what waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who has sent something in the last week."""

    name: str
    last_at: datetime
    studies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingWork:
    """Analyses or deliveries that wait.

    Attributes
    ----------
    ends_at : when all of them that may go on will be done; None if that cannot be told
    why : what keeps some of them, and why no end is told; else empty
    """

    things: str
    count: int
    oldest: datetime | None
    ends_at: datetime | None
    why: str


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


def outlooks(
    session: Session, now: datetime, waiting: Backlog, destinations: Sequence[DestinationSummary]
) -> tuple[WaitingWork, WaitingWork]:
    """Return what waits to be analysed and to be delivered, and when that will be done."""
    stuck = [one for one in destinations if one.waiting and one.condition not in _TAKING]
    return (
        _outlook(session, now, Analysis, waiting.analyses),
        _outlook(session, now, Delivery, waiting.deliveries, stuck=stuck),
    )


def _outlook(
    session: Session,
    now: datetime,
    table: type[Work],
    waiting: Waiting,
    *,
    stuck: Sequence[DestinationSummary] = (),
) -> WaitingWork:
    """Return when what waits will be done if it goes on as in the last half hour.

    Parameters
    ----------
    stuck : destinations that take nothing now
    """
    why = "; ".join(f"{one.waiting} wait for {one.name}, which is {one.condition}" for one in stuck)
    moving = max(waiting.count - sum(one.waiting for one in stuck), 0)
    newest = select(table.finished_at).order_by(table.id.desc()).limit(_LATEST)
    ends = sorted(end for end in session.scalars(newest) if end and end >= now - _RATE_OF)
    ends_at = None
    if moving and len(ends) >= 2:
        ends_at = now + (now - ends[0]) / len(ends) * moving
    elif moving:
        untold = f"the end cannot be told: no {waiting.things} were done in the last half hour"
        why = f"{why}; {untold}" if why else untold
    return WaitingWork(
        things=waiting.things, count=waiting.count, oldest=waiting.oldest, ends_at=ends_at, why=why
    )


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
