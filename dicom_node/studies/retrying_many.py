"""Retries everything that ended badly for one reason, as after a bad night."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.circuits import circuit_of, try_now
from dicom_node.studies.ledger.due.due_work import Work, is_due
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import database_time, locking
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, Event, State
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.ledger.transitions import apply
from dicom_node.studies.operator_actions import BY_HAND, fresh

PORTION: Final = 100
"""Rows that one transaction changes: nobody waits for all of them."""

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

_ENDED_BADLY: Final[dict[type, tuple[State, ...]]] = {
    Analysis: (AnalysisState.FAILED,),
    Delivery: (DeliveryState.REFUSED, DeliveryState.EXPIRED),
}

_STOPPED: Final[dict[type, tuple[State, ...]]] = {
    Analysis: (AnalysisState.FAILED,),
    Delivery: (DeliveryState.REFUSED, DeliveryState.EXPIRED, DeliveryState.HELD),
}
"""States that an index has together, as it names them."""

# The time until a delivery expires starts again with the request.
_RESTARTED: Final[dict[type, tuple[str, ...]]] = {Analysis: (), Delivery: ("created_at",)}


def retry_all(database: Database, reason: str) -> dict[str, int]:
    """Make failed analyses, and refused and expired deliveries, due again as if they were new.

    Parameters
    ----------
    reason : text
        Part of the reasons of what is retried, in capitals or not; an empty one matches all.

    Returns
    -------
    dict
        How many analyses and deliveries are due again.
    """
    return {
        "analyses": _retry_all_of(database, Analysis, reason),
        "deliveries": _retry_all_of(database, Delivery, reason),
    }


def retry_destination(database: Database, name: str) -> int:
    """Have everything tried now that waits for a destination, and what it refused since it fails.

    What is held because the destination was dry is due, too.

    A destination that is down is not asked first: one delivery is sent.

    Returns
    -------
    int
        How many deliveries are due now.
    """
    with database.reading() as session:
        known = circuit_of(session, name, at=database_time(session))
    _retry_in_state(database, Delivery, DeliveryState.HELD, "", to=(name, _EVER))
    if known is not None and known.failing_since is not None:
        # What ended since then may have met the same fault.
        for state in _ENDED_BADLY[Delivery]:
            _retry_in_state(database, Delivery, state, "", to=(name, known.failing_since))
    count, last = 0, 0
    while True:
        with database.writing() as session:
            at = database_time(session)
            query = select(Delivery).where(
                is_due(Delivery), Delivery.destination == name, Delivery.id > last
            )
            rows = session.scalars(locking(query.order_by(Delivery.id).limit(PORTION))).all()
            for row in rows:
                row.due_at = min(row.due_at, at)
            if not rows:
                try_now(session, name, at=at)
                return count
            count, last = count + len(rows), rows[-1].id


def _retry_all_of(database: Database, table: type[Work], reason: str) -> int:
    return sum(_retry_in_state(database, table, state, reason) for state in _ENDED_BADLY[table])


def _retry_in_state(
    database: Database,
    table: type[Work],
    state: State,
    reason: str,
    *,
    to: tuple[str, datetime] | None = None,
) -> int:
    count, last = 0, 0
    while True:
        # Found before the lock is taken: to read past years of other reasons keeps nobody waiting.
        with database.reading() as session:
            found = _next_portion(session, table, state, reason, after=last, to=to)
        if not found:
            return count
        last = found[-1]
        with database.writing() as session:
            at = database_time(session)
            changes = {**fresh(at), **dict.fromkeys(_RESTARTED[table], at)}
            # What somebody else changes at this moment is no longer what the reason says.
            still = select(table).where(table.id.in_(found), table.state == state)
            for row in session.scalars(locking(still, skip_locked=True)).all():
                apply(session, row, Event.RETRY, because=BY_HAND, at=at, **changes)
                count += 1


def _next_portion(
    session: Session,
    table: type[Work],
    state: State,
    reason: str,
    *,
    after: int,
    to: tuple[str, datetime] | None,
) -> list[int]:
    """Read the next ids; `to`: deliveries to this destination only, that ended since then."""
    # One state at a time: the index of those that stopped has its rows in the order of their ids.
    query = select(table.id).where(
        in_states(table, *_STOPPED[table]),
        table.state == state,
        table.id > after,
        table.reason.icontains(reason, autoescape=True),
    )
    if table is Delivery:
        # Not what a later revision replaces, or what names a patient that was corrected since.
        superseded = exists().where(
            Analysis.id == Delivery.analysis_id, Analysis.state == AnalysisState.SUPERSEDED
        )
        query = query.where(~superseded)
    if to is not None:
        query = query.where(Delivery.destination == to[0], Delivery.finished_at >= to[1])
    return list(session.scalars(query.order_by(table.id).limit(PORTION)))
