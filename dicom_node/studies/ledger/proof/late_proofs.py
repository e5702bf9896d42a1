"""Deliveries that were accepted before their destination was to prove anything."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import literal_column, select, tuple_, update
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.states import TAKEN, AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

WINDOW: Final = 500
"""Deliveries that one look judges."""

Position = tuple[datetime, int]
"""When a delivery ended, and its id."""


def late_proofs(
    session: Session, destination: str, *, after: Position | None = None
) -> tuple[list[int], Position | None]:
    """Look for what a destination has accepted and was never asked for, the oldest first.

    What can be sent again only: the files of the study are still there, and no later revision has
    taken its place.

    Returns
    -------
    ids, position
        Of at most WINDOW deliveries; and where this look ended, None if it was the last.
    """
    query = (
        select(Delivery, Analysis.state, Study.removed_at)
        .join(Analysis, Analysis.id == Delivery.analysis_id)
        .join(Study, Study.id == Analysis.study_id)
        .where(
            Delivery.destination == destination,
            # A literal and no parameter: only so does SQLite see that a partial index holds it.
            Delivery.state.in_([literal_column(f"'{state.value}'") for state in TAKEN]),
            Delivery.finished_at.is_not(None),
        )
        .order_by(Delivery.finished_at, Delivery.id)
        .limit(WINDOW)
    )
    if after is not None:
        query = query.where(tuple_(Delivery.finished_at, Delivery.id) > after)
    rows = session.execute(query).all()
    found = [
        row.id
        for row, state, removed_at in rows
        if row.state is DeliveryState.ACCEPTED
        and row.proof_due_at is None
        and not row.proof_attempts
        and state is AnalysisState.DONE
        and removed_at is None
    ]
    last = rows[-1][0] if len(rows) == WINDOW else None
    if last is None or last.finished_at is None:
        return found, None
    return found, (last.finished_at, last.id)


def want_proof(session: Session, delivery_ids: Collection[int], *, at: datetime) -> int:
    """Have deliveries asked about that are still as they were found; return their number."""
    asked = session.scalars(
        update(Delivery)
        .where(
            Delivery.id.in_(delivery_ids),
            Delivery.state == DeliveryState.ACCEPTED,
            Delivery.proof_due_at.is_(None),
        )
        .values(proof_due_at=at)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    return len(asked.all())
