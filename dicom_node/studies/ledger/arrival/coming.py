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
_OLDEST: Final = ""
"""The association that is named with the time of the oldest object that is not registered yet."""
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
    told = [one for row in session.scalars(query) for one in _objects(row.coming)]
    return [one for one in told if one.association != _OLDEST]


def may_wait_elsewhere(
    session: Session, spool_id: int, *, received_before: datetime, at: datetime
) -> bool:
    """Return whether another node may have received something by a time and not registered it.

    Parameters
    ----------
    spool_id : of the node that asks
    """
    # Hosts know each other's clocks to a second.
    until = received_before + _SAID_AGAIN
    query = select(KnownSpool.told_at, KnownSpool.coming).where(KnownSpool.id != spool_id)
    for told_at, coming in session.execute(query):
        if told_at is None:
            continue
        # It looks at its spool before it says what is in it. One that is away says nothing more,
        # and still has what it has said last.
        if at - FRESH < told_at < until:
            return True
        if any(one.is_coming and one.since < until for one in _objects(coming)):
            return True
    return False


def _text(sent: Iterable[SentObject]) -> str:
    sent = list(sent)
    # Of many objects of a study that wait together the newest decides.
    newest: dict[tuple[str, str | None, bool], datetime] = {}
    for one in sent:
        key = (one.association, one.study_instance_uid, one.is_coming)
        newest[key] = max(newest.get(key, one.since), one.since)
    lines = [[*key, since.isoformat()] for key, since in newest.items()]
    waiting = [one.since for one in sent if one.is_coming]
    oldest = [[_OLDEST, None, True, min(waiting).isoformat()]] if waiting else []
    return json.dumps(oldest + sorted(lines, key=str)[:_MOST]) if lines else ""


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
