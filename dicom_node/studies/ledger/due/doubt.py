"""Whether a study or the worker is at fault where attempts die: by whether the worker was tested.

Before a study's last attempt the worker analyses test images. Only if it got through them, and dies
or hangs at the study all the same, is the study at fault.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.states import Event
from dicom_node.studies.ledger.tables import Analysis, Transition
from dicom_node.studies.ledger.transitions import remark

FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=10)
"""No longer than stamps of due work may lie ahead of a clock that goes right (`clock_steps`)."""

_TESTED: Final = "worker_tested"
_UNCOUNTED: Final = 10
"""So many attempts more may have ended by faults of the site, which are no reason for a test."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempts:
    """The claims of an analysis, since a person had it tried again if one has."""

    count: int
    began_at: datetime
    last_id: int


def times_begun(session: Session, analysis_id: int) -> int:
    """Count the attempts of an analysis, those too that were not its own fault."""
    attempts = _attempts(session, analysis_id)
    return 0 if attempts is None else attempts.count


def wants_test(session: Session, analysis_id: int, *, attempt: int, maximum_attempts: int) -> bool:
    """Tell whether the worker is to be tested before an attempt: the last one, but not the first.

    Parameters
    ----------
    attempt : number of the attempt that was claimed
    """
    begun = times_begun(session, analysis_id)
    # A node that allows fewer attempts than this worker puts off what the worker never ends.
    is_last = attempt >= maximum_attempts or begun > maximum_attempts + _UNCOUNTED
    return begun > 1 and is_last


def note_tested(session: Session, row: Analysis, words: str, *, at: datetime) -> None:
    """Enter that the worker got through its test images in the present attempt, which it holds."""
    remark(session, row, _TESTED, because=words, at=at)


def put_off_in_doubt(
    session: Session, analysis_id: int, reason: str, *, at: datetime
) -> PutOff | None:
    """Put off an analysis whose attempts all died; None if its worker was tested in the last one.

    Parameters
    ----------
    reason : what befell the last attempt
    """
    attempts = _attempts(session, analysis_id)
    if attempts is None or _is_tested_since(session, analysis_id, attempts.last_id):
        return None
    # As long again as it has been tried for.
    due_at = at + min(max(at - attempts.began_at, FIRST_WAIT), LONGEST_WAIT)
    words = (
        f"{reason}; the worker itself may be at fault: it got through no test images before; "
        f"tried again, after test images, at {due_at.isoformat(timespec='seconds')}"
    )
    return PutOff(reason=words, due_at=due_at)


def _attempts(session: Session, analysis_id: int) -> _Attempts | None:
    its = (Transition.subject == _SUBJECT, Transition.subject_id == analysis_id)
    retried = select(func.coalesce(func.max(Transition.id), 0)).where(
        *its, Transition.event == Event.RETRY.value
    )
    claims = (
        *its,
        Transition.event == Event.CLAIM.value,
        Transition.id > retried.scalar_subquery(),
    )
    ids = func.count(Transition.id), func.min(Transition.id), func.max(Transition.id)
    count, first, last = session.execute(select(*ids).where(*claims)).one()
    if not count:
        return None
    began_at = session.get_one(Transition, first).at
    return _Attempts(count=count, began_at=began_at, last_id=last)


def _is_tested_since(session: Session, analysis_id: int, transition_id: int) -> bool:
    tested = select(Transition.id).where(
        Transition.subject == _SUBJECT,
        Transition.subject_id == analysis_id,
        Transition.event == _TESTED,
        Transition.id > transition_id,
    )
    return session.scalar(tested.limit(1)) is not None
