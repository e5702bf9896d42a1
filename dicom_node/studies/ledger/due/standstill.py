"""Why no study can be analysed, as workers that found it enter it at the studies that wait."""

from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.due.due_work import is_due
from dicom_node.studies.ledger.tables import Analysis

_BEGINNING: Final = "no study can be analysed: "


def note_standstill(
    session: Session, analysis_id: int, why: str, *, holder: str, at: datetime
) -> None:
    """Enter why a due analysis is not begun, though a worker has its message.

    Parameters
    ----------
    why : the fault of the site in words
    holder : name of the worker's process
    """
    words = f"{_BEGINNING}{why} (found by {holder} at {at.isoformat(timespec='seconds')})"
    session.execute(
        update(Analysis)
        .where(Analysis.id == analysis_id, is_due(Analysis))
        .values(reason=words)
        .execution_options(synchronize_session=False)
    )


def end_standstill(session: Session) -> None:
    """Take back what was entered of a fault that has ended."""
    session.execute(
        update(Analysis)
        .where(is_due(Analysis), Analysis.reason.startswith(_BEGINNING))
        .values(reason="")
        .execution_options(synchronize_session=False)
    )


def is_standstill(reason: str) -> bool:
    """Return whether the reason of an analysis is a fault of the site."""
    return reason.startswith(_BEGINNING)


def standstill(session: Session) -> str:
    """Return why no study can be analysed; empty if no worker has entered anything."""
    # Only a worker that has a message enters something, and of messages there are few at a time.
    reason = session.scalar(
        select(Analysis.reason)
        .where(
            is_due(Analysis),
            Analysis.dispatched_at.is_not(None),
            Analysis.reason.startswith(_BEGINNING),
        )
        .limit(1)
    )
    return reason or ""
