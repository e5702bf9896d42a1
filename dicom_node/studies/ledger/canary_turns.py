"""Whose turn it is: of all nodes before one ledger, one sends a canary study at a time."""

from datetime import timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.site_tables import CanaryTurn
from dicom_node.studies.ledger.tables import LedgerIdentity

_LONGEST: Final = timedelta(days=1)
"""No turn lasts so long: one that seems to was taken while the clock was ahead."""


def take_turn(session: Session, spool: str, *, seconds: float) -> bool:
    """Let only the node of a spool send a canary study for a while; whether it may.

    Parameters
    ----------
    spool : identity of its spool
    seconds : after which another may, as after this node was killed, unless it says so anew
    """
    # Two that come at once are entered one after the other.
    session.scalars(select(LedgerIdentity).with_for_update()).all()
    now = database_time(session)
    row = session.scalars(select(CanaryTurn)).first()
    if row is None:
        row = CanaryTurn(id=1, spool=spool, held_until=now)
        session.add(row)
    elif row.spool != spool and now < row.held_until < now + _LONGEST:
        return False
    row.spool, row.held_until = spool, now + timedelta(seconds=seconds)
    return True


def end_turn(session: Session, spool: str) -> None:
    """Let every node send a canary study again, where it was this one's turn."""
    session.execute(
        delete(CanaryTurn)
        .where(CanaryTurn.spool == spool)
        .execution_options(synchronize_session=False)
    )
