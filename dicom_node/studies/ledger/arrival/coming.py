"""What the nodes before one ledger receive just now: no node settles a study that another gets."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.spool.open_associations import SentObject
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.site_tables import KnownSpool

FRESH: Final = timedelta(seconds=30)
"""Time after which what a node has said does not count: it was killed, or is cut off."""

_SAID_AGAIN: Final = timedelta(seconds=5)
_MOST: Final = 2000
"""Studies and associations that are told: those of a backlog beyond are late images at worst."""


def are_several(session: Session) -> bool:
    """Return whether other nodes share this ledger."""
    return (session.scalar(select(func.count(KnownSpool.id))) or 0) > 1


def told_to_each_other(
    database: Database, spool_id: int, sent: Sequence[SentObject], *, at: datetime
) -> list[SentObject]:
    """Tell other nodes, if there are any, what comes to this one; return what comes to them."""
    with database.reading() as session:
        if not are_several(session):
            return []
    with database.writing() as session:
        tell_coming(session, spool_id, sent, at=at)
        return coming_elsewhere(session, spool_id, at=at)


def tell_coming(
    session: Session, spool_id: int, sent: Iterable[SentObject], *, at: datetime
) -> None:
    """Tell the other nodes what one receives; writes nothing if it has just said the same.

    Parameters
    ----------
    sent : what is coming or not registered yet, and the latest object of each open association
    """
    row = session.get(KnownSpool, spool_id)
    if row is None:
        return
    text = _text(sent)
    if row.coming != text or row.told_at is None or row.told_at + _SAID_AGAIN <= at:
        row.coming, row.told_at = text, at


def coming_elsewhere(session: Session, spool_id: int, *, at: datetime) -> list[SentObject]:
    """Return what the other nodes have lately said to receive.

    Parameters
    ----------
    spool_id : of the node that asks
    """
    query = select(KnownSpool).where(KnownSpool.id != spool_id, KnownSpool.told_at > at - FRESH)
    return [one for row in session.scalars(query) for one in _objects(row.coming)]


def _text(sent: Iterable[SentObject]) -> str:
    # Of many objects of a study that wait together the newest decides.
    newest: dict[tuple[str, str | None, bool], datetime] = {}
    for one in sent:
        key = (one.association, one.study_instance_uid, one.is_coming)
        newest[key] = max(newest.get(key, one.since), one.since)
    lines = [[*key, since.isoformat()] for key, since in newest.items()]
    return json.dumps(sorted(lines, key=str)[:_MOST]) if lines else ""


def _objects(text: str) -> Collection[SentObject]:
    return [
        SentObject(
            association=association,
            study_instance_uid=study,
            is_coming=is_coming,
            since=datetime.fromisoformat(since),
        )
        for association, study, is_coming, since in (json.loads(text) if text else [])
    ]
