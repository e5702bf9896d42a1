"""Answers whose truth is known: what tables and readers have said of their studies."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.facts.assessed_results import Decision
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.assessment_tables import Assessment
from dicom_node.studies.ledger.monitoring.tables import MonitorNote
from dicom_node.studies.ledger.tables import Analysis

_OF_TRUTH = (Decision.POSITIVE.value, Decision.NEGATIVE.value)
_OF_READERS = (Decision.ACCEPTED.value, Decision.MODIFIED.value, Decision.REJECTED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAnswer:
    """The newest answer to one study, and what turned out to be true of it.

    Attributes
    ----------
    at : when the study began to arrive
    score : the highest one of its findings
    is_ill : whether any line says positive
    days : from the study to the truth; None if that has no date
    """

    at: datetime
    scanner: str
    flagged: bool
    score: float
    is_ill: bool
    days: float | None = None


def known_answers(
    session: Session, *, since: datetime, until: datetime | None = None
) -> list[KnownAnswer]:
    """Return the answers to studies of some time whose truth is known.

    A study is ill if any line of it says positive, of whichever side; else it is well.
    """
    query = (
        select(MonitorNote, Analysis.study_id, Assessment.decision, Assessment.assessed_at)
        .join(Analysis, Analysis.id == MonitorNote.analysis_id)
        .join(Assessment, Assessment.study_id == Analysis.study_id)
        .where(MonitorNote.at >= since, Assessment.decision.in_(_OF_TRUTH))
        .order_by(MonitorNote.at, Analysis.study_id, MonitorNote.analysis_id)
    )
    if until is not None:
        query = query.where(MonitorNote.at < until)
    newest: dict[int, MonitorNote] = {}
    said: dict[int, list[tuple[str, datetime | None]]] = {}
    for note, study_id, decision, assessed_at in session.execute(query):
        newest[study_id] = note
        said.setdefault(study_id, []).append((decision, assessed_at))
    return [_known(note, said[study_id]) for study_id, note in newest.items()]


def newest_assessment(session: Session) -> int:
    """Return the number of the newest assessment; 0 without any."""
    return session.scalar(select(func.max(Assessment.id))) or 0


def decisions_of_readers(session: Session, *, since: datetime, until: datetime) -> Counter[str]:
    """Count what readers have made of findings of some time: accepted, modified, rejected."""
    counted = session.execute(
        select(Assessment.decision, func.count(Assessment.id))
        .join(MonitorNote, MonitorNote.analysis_id == Assessment.analysis_id)
        .where(
            MonitorNote.at >= since,
            MonitorNote.at < until,
            Assessment.decision.in_(_OF_READERS),
        )
        .group_by(Assessment.decision)
    )
    found: Counter[str] = Counter()
    for decision, count in counted:
        found[decision] = count
    return found


def _known(note: MonitorNote, said: Iterable[tuple[str, datetime | None]]) -> KnownAnswer:
    decisions = list(said)
    dates = [at for _, at in decisions if at is not None]
    days = (min(dates) - note.at).total_seconds() / 86_400 if dates else None
    equipment = Fingerprint(note.manufacturer, note.model, note.serial, note.software)
    return KnownAnswer(
        at=note.at,
        scanner=equipment.scanner,
        flagged=note.flagged,
        score=highest_score(note),
        is_ill=any(decision == Decision.POSITIVE for decision, _ in decisions),
        days=None if days is None else max(days, 0.0),
    )


def highest_score(note: MonitorNote) -> float:
    """Return the highest score of an answer's findings; 0 of none."""
    return max((float(one) for one, _ in json.loads(note.scores).values()), default=0.0)
