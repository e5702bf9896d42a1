"""What the pages ask the ledger besides what commands ask."""

from collections import Counter
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a study, or several alike at once, in words.

    Attributes
    ----------
    waited : seconds since the step before
    """

    at: datetime
    waited: float
    words: str
    reason: str


_SUBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "study": ("study", "studies"),
    "instance": ("image", "images"),
    "analysis": ("analysis", "analyses"),
    "delivery": ("delivery", "deliveries"),
}
_EVENTS: Final[Mapping[str, str]] = {
    "": "entered",
    "begin": "entered",
    "file": "filed in the spool",
    "set_aside": "set aside",
    "replace": "replaced by a corrected copy",
    "restore": "restored",
    "remove": "removed",
    "settle": "complete",
    "late_image": "opened again by a late image",
    "claim": "taken by a worker",
    "finish": "finished",
    "fail": "failed",
    "give_back": "given back",
    "lease_lost": "lost with its worker",
    "cancel": "cancelled",
    "supersede": "superseded",
    "deliver": "taken by the destination",
    "postpone": "postponed",
    "refuse": "refused",
    "expire": "expired",
    "retry": "due again",
    "confirm": "confirmed by the archive",
    "commit": "committed by the archive",
    "miss": "missing at the archive",
    "hold": "held",
    "move": "moved to another destination",
    "drop": "dropped",
}


def time_line(history: Sequence[Mapping[str, object]]) -> list[Step]:
    """Return the history of a study as steps in words; equal ones within seconds are one."""
    steps: list[Step] = []
    alike: Counter[int] = Counter()
    last_key: tuple[object, ...] | None = None
    for row in history:
        at, subject, event = row["at"], str(row["subject"]), str(row["event"])
        assert isinstance(at, datetime)
        reason = str(row["reason"] or "")
        key = (subject, event, reason if subject != "instance" else "")
        is_alike = bool(steps) and key == last_key and (at - steps[-1].at) < timedelta(seconds=60)
        if is_alike:
            alike[len(steps) - 1] += 1
        else:
            waited = (at - steps[-1].at).total_seconds() if steps else 0.0
            steps.append(Step(at=at, waited=max(waited, 0.0), words=subject, reason=reason))
            alike[len(steps) - 1] = 1
            last_key = key
            events = _EVENTS.get(event, event.replace("_", " "))
            steps[-1] = Step(
                at=at, waited=max(waited, 0.0), words=f"{subject}\0{events}", reason=reason
            )
    return [
        Step(at=one.at, waited=one.waited, words=_said(one.words, alike[place]), reason=one.reason)
        for place, one in enumerate(steps)
    ]


def _said(words: str, count: int) -> str:
    subject, _, what = words.partition("\0")
    one, many = _SUBJECTS.get(subject, (subject, f"{subject}s"))
    return f"{one} {what}" if count == 1 else f"{count} {many} {what}"
