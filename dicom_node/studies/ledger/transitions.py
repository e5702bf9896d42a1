"""The only code that changes a state; it writes the history in the same transaction."""

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import update
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.states import Event, State, following
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    Instance,
    Living,
    Study,
    Transition,
)

Row = TypeVar("Row", Study, Instance, Analysis, Delivery)


def begin(session: Session, row: Row, *, because: str = "", at: datetime) -> Row:
    """Add a new row with its first line of history, in the caller's transaction."""
    session.add(row)
    # The history names the row by its id, which the database gives when it is inserted.
    session.flush()
    _record(session, row, event="new", before="", after=row.state, because=because, at=at)
    return row


def apply(
    session: Session, row: Row, event: Event, *, because: str = "", at: datetime, **changes: Any
) -> Row:
    """Change the state of one row and write its history, both in the caller's transaction.

    Parameters
    ----------
    row : as read
        Its version must still be the one in the database.
    because : text for the history
    changes : further columns that change with the state

    Raises
    ------
    ForbiddenTransitionError
        The event is not allowed in the row's state.
    OvertakenError
        Another process changed the row since it was read.
    """
    before, version = row.state, row.version
    after = following(before, event)
    table = type(row)
    # The version is compared and not the state: an analysis whose lease was lost and that another
    # worker has claimed is `running` again, and the first worker must not finish it. Comparing
    # inside the UPDATE leaves no gap: of two processes that read one version, PostgreSQL (READ
    # COMMITTED) lets the second wait for the first and then match nothing.
    moved = session.execute(
        update(table)
        .where(table.id == row.id, table.version == version)
        .values(state=after, version=version + 1, **changes)
        .execution_options(synchronize_session=False)
        .returning(table.id)
    ).first()
    if moved is None:
        raise OvertakenError(
            f"another process changed {table.__tablename__} {row.id} since version {version}: "
            "try again"
        )
    _record(
        session, row, event=event.value, before=before.value, after=after, because=because, at=at
    )
    # The UPDATE bypassed the object in this session, which still holds the former values.
    session.refresh(row)
    return row


def remark(session: Session, row: Living, event: str, *, because: str, at: datetime) -> None:
    """Write into the history what leaves a row as it is, so that claims on it stay valid."""
    state = row.state
    _record(session, row, event=event, before=state.value, after=state, because=because, at=at)


def _record(
    session: Session,
    row: Living,
    *,
    event: str,
    before: str,
    after: State,
    because: str,
    at: datetime,
) -> None:
    session.add(
        Transition(
            subject=type(row).__name__.lower(),
            subject_id=row.id,
            event=event,
            before=before,
            after=after.value,
            reason=because,
            at=at,
        )
    )
