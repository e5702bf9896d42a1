"""Which work a worker begins when a message wakes it: the most urgent that may begin now.

A message names the work that was the most urgent when it was sent. What has become due since and is
more urgent is begun in its place, so that nothing urgent stands in the queue behind the rest.
"""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.priority import Priority
from dicom_node.studies.ledger.destinations import circuits
from dicom_node.studies.ledger.destinations.circuits import Circuit
from dicom_node.studies.ledger.due.due_work import (
    Rank,
    Work,
    count_sending,
    is_failing,
    of_rank,
    ranks,
)
from dicom_node.studies.ledger.due.pauses import Holds, Paused
from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study


def chosen(session: Session, named: Work, *, holds: Holds, at: datetime) -> Work | None:
    """Return what to begin in place of due work that the caller has locked; None for nothing.

    Parameters
    ----------
    named : what the message names
    holds : what must not begin now
    at : by the clock of the database
    """
    if holds.stop(type(named)):
        return None
    is_unreached = holds.unreached.is_needed(session, named)
    for row in _more_urgent(session, named, holds, at, in_any_case=is_unreached):
        if _may_begin(session, row, holds, at):
            # Whoever has it locked begins or changes it just now.
            query = select(type(named)).where(
                type(named).id == row.id, type(named).version == row.version
            )
            held = session.scalars(locking(query, skip_locked=True)).first()
            if held is not None:
                return held
    return named if not is_unreached and _may_begin(session, named, holds, at) else None


def _more_urgent(
    session: Session, named: Work, holds: Holds, at: datetime, *, in_any_case: bool
) -> Iterator[Work]:
    table = type(named)
    own: Rank = (Priority(named.priority), named.attempts > 0)
    # To the same destination: no other one may wait for this one to answer.
    destination = getattr(named, "destination", None)
    for rank in ranks(table, holds):
        if rank == own and not in_any_case:
            return
        query = of_rank(table, rank, at=at, holds=holds, destination=destination).limit(1)
        # Those that workers were told of are few; the others are read by an index of their own.
        yield from session.scalars(query.where(table.dispatched_at.is_not(None)))
        yield from session.scalars(query.where(table.dispatched_at.is_(None)))


def _may_begin(session: Session, row: Analysis | Delivery, holds: Holds, at: datetime) -> bool:
    if isinstance(row, Analysis):
        if row.priority == Priority.OFF_PEAK and not holds.is_off_peak:
            return False
        sender = session.get_one(Study, row.study_id).calling_ae_title
        return holds.on(Paused.SENDER, sender) is None
    if holds.withheld(row.destination):
        return False
    circuit = circuits.passes(session, row.destination, at=at)
    if circuit is Circuit.OPEN:
        return False
    # A destination that keeps silent holds a lane of one process at most, and not of all.
    if not count_sending(session, row.destination):
        return True
    return circuit is Circuit.CLOSED and not is_failing(session, row.destination, at=at)
