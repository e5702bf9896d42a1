"""Whether a study or the worker is at fault where attempts die: by whether others got through."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.states import Event
from dicom_node.studies.ledger.tables import Transition

FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=10)
"""No longer than stamps of due work may lie ahead of a clock that goes right (`clock_steps`)."""

LOOKED_BACK: Final = 20_000
"""Changes of state that are looked at for another study: what is further back proves nothing."""

_SUBJECT: Final = "analysis"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """How an analysis is put off instead of given up.

    Attributes
    ----------
    reason : in words
    due_at : of its next attempt
    """

    reason: str
    due_at: datetime


def put_off_in_doubt(
    session: Session, analysis_id: int, reason: str, *, at: datetime
) -> PutOff | None:
    """Put off an analysis whose attempts all died; None if another got through meanwhile.

    Parameters
    ----------
    reason : what befell the last attempt
    """
    first = _first_attempt(session, analysis_id)
    if first is None or _got_through_since(session, first.id):
        return None
    # As long again as it has been tried for.
    due_at = at + min(max(at - first.at, FIRST_WAIT), LONGEST_WAIT)
    words = (
        f"{reason}; no other study was analysed since: the worker itself may be at fault; "
        f"tried again at {due_at.isoformat(timespec='seconds')}"
    )
    return PutOff(reason=words, due_at=due_at)


def _first_attempt(session: Session, analysis_id: int) -> Transition | None:
    """Return the first claim of an analysis, since a person had it tried again if one has."""
    its = (Transition.subject == _SUBJECT, Transition.subject_id == analysis_id)
    retried = select(func.coalesce(func.max(Transition.id), 0)).where(
        *its, Transition.event == Event.RETRY.value
    )
    claims = select(Transition).where(
        *its, Transition.event == Event.CLAIM.value, Transition.id > retried.scalar_subquery()
    )
    return session.scalar(claims.order_by(Transition.id).limit(1))


def _got_through_since(session: Session, transition_id: int) -> bool:
    # From the end of the primary key, and only so far: no index tells when analyses were finished,
    # and the limit keeps a database from reading every analysis that ever was.
    recent = (
        select(Transition.subject, Transition.event)
        .where(Transition.id > transition_id)
        .order_by(Transition.id.desc())
        .limit(LOOKED_BACK)
        .subquery()
    )
    finished = (recent.c.subject == _SUBJECT) & (recent.c.event == Event.FINISH.value)
    return session.scalar(select(recent.c.event).where(finished).limit(1)) is not None
