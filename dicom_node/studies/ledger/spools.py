"""The spools of the nodes before one ledger: which there are, and which row's files lie in which.

Rows of a study and of an image name a spool. Its node alone moves and deletes the files in it.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.errors import LedgerError
from dicom_node.studies.ledger.due.due_work import DUE, Work
from dicom_node.studies.ledger.locks import database_time, locked
from dicom_node.studies.ledger.reached import Unreached
from dicom_node.studies.ledger.site_tables import KnownSpool
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, LedgerIdentity

FIRST: Final = 1
"""The spool of rows that an earlier release has entered."""

NOBODYS: Final = "?"
"""Identity of the first spool while its files are known and its node has not come."""

HELD_FOR: Final = timedelta(seconds=60)
"""How long a spool stays that of a node process which does not say so anew."""

_SAMPLE: Final = 20
_SHORTEST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(seconds=60)


class SpoolHeldError(LedgerError):
    """A node works on this spool, or on that of which it is a copy."""

    reason = "spool-held"


def enter_spool(
    session: Session, identity: str, *, name: str, is_there: Callable[[str], bool]
) -> int:
    """Return the number of a spool in this ledger, which knows it from now on.

    A spool without a row is recognised by the files that lie in it: the first node of this
    release finds those of its earlier one, and a lost ``spool.id`` makes no other spool of it.

    Parameters
    ----------
    identity : of the spool, 32 hexadecimal digits
    name : host and folder
    is_there : whether a place of a registered object is one of this spool

    Raises
    ------
    SpoolHeldError
        It has the files of one on which a node works.
    """
    # Two that come at once are entered one after the other.
    session.scalars(select(LedgerIdentity).with_for_update()).all()
    rows = list(session.scalars(select(KnownSpool).order_by(KnownSpool.id)))
    for row in rows:
        if row.identity == identity:
            row.name = name
            return row.id
    known = {row.id: row for row in rows}
    has_files_elsewhere = False
    for spool_id in sorted({FIRST, *known}):
        places = _newest_places(session, spool_id)
        if any(map(is_there, places)):
            if spool_id in known:
                _require_free(known[spool_id], (), at=database_time(session))
            return _entered(session, known.get(spool_id), spool_id, identity, name)
        has_files_elsewhere |= bool(places) and spool_id == FIRST
    if not known and not has_files_elsewhere:
        return _entered(session, None, FIRST, identity, name)
    if not known:
        _entered(session, None, FIRST, NOBODYS, "the spool of an earlier release")
        known[FIRST] = session.get_one(KnownSpool, FIRST)
    return _entered(session, None, max(known) + 1, identity, name)


def hold_spool(
    session: Session, spool_id: int, token: str, *, former: Collection[str], name: str
) -> None:
    """Let one node process alone work on a spool, for a while.

    Parameters
    ----------
    token : of that process from now on, 32 hexadecimal digits
    former : its own tokens until now, and those of the process before it in the same folder
    name : host and folder

    Raises
    ------
    SpoolHeldError
        Another one does.
    """
    row = session.get_one(KnownSpool, spool_id, with_for_update=True)
    at = database_time(session)
    _require_free(row, former, at=at)
    row.holder, row.held_until, row.name = token, at + HELD_FOR, name


def release_spool(session: Session, spool_id: int, token: str) -> None:
    """Let any node process work on a spool that one has held."""
    session.execute(
        update(KnownSpool)
        .where(KnownSpool.id == spool_id, KnownSpool.holder == token)
        .values(held_until=None)
    )


def _require_free(row: KnownSpool, tokens: Collection[str], *, at: datetime) -> None:
    if row.held_until is None or row.held_until <= at or row.holder in tokens:
        return
    raise SpoolHeldError(
        f"this spool, or the one of which it is a copy, is that of the node at {row.name}, which "
        f"works. If that one has ended, this one goes on within {HELD_FOR.seconds} s; else stop "
        "one of the two: a further node needs a spool of its own (docs/growing.md). What comes "
        "meanwhile is kept"
    )


def spool_of(session: Session, identity: str) -> int | None:
    """Return the number of a spool by its identity; None if this ledger does not know it."""
    return session.scalar(select(KnownSpool.id).where(KnownSpool.identity == identity))


def known_spools(session: Session) -> dict[int, str]:
    """Return the identities of all spools by their numbers."""
    return {row.id: row.identity for row in session.scalars(select(KnownSpool))}


def spool_names(session: Session) -> dict[int, str]:
    """Return the names of all spools by their numbers."""
    return {row.id: row.name for row in session.scalars(select(KnownSpool))}


def names_if_several(session: Session) -> dict[int, str]:
    """Return the names of all spools by their numbers; of a single one nobody needs to know."""
    names = spool_names(session)
    return names if len(names) > 1 else {}


def nodes_in_words(session: Session) -> list[str]:
    """Say which nodes share this ledger; nothing of a single one."""
    names = names_if_several(session)
    if not names:
        return []
    return [f"{len(names)} nodes share this ledger: {', '.join(names.values())}"]


def leave_to_others(
    session: Session, table: type[Work], work_id: int, unreached: Unreached, *, at: datetime
) -> str:
    """Put off due work of spools that this worker does not reach; say why, or nothing if it does.

    The longer it has waited, the more seldom it is tried.
    """
    row = locked(session, table, work_id)
    if row is None or row.state is not DUE[table] or row.due_at > at:
        return ""
    reason = why_unreached(session, row, unreached)
    if not reason:
        return ""
    wait = min(max((at - row.created_at) / 10, _SHORTEST_WAIT), _LONGEST_WAIT)
    session.execute(
        update(table)
        .where(table.id == work_id)
        .values(dispatched_at=None, due_at=at + wait, reason=reason)
        .execution_options(synchronize_session=False)
    )
    return reason


def why_unreached(session: Session, row: Work, unreached: Unreached) -> str:
    """Say for what of some spools work waits; nothing if it needs none of them."""
    names = spool_names(session)
    for spool_id, of_it in unreached.each():
        if not of_it.is_needed(session, row):
            continue
        if of_it.by_store:
            return f"waits until the files of {names[spool_id]} are copied to the store"
        return f"waits for a worker that reaches the files of {names[spool_id]} (other_spools)"
    return ""


def _newest_places(session: Session, spool_id: int) -> list[str]:
    query = (
        select(Instance.place)
        .where(
            Instance.spool_id == spool_id,
            Instance.state.in_((InstanceState.REGISTERED, InstanceState.SET_ASIDE)),
            Instance.place != "",
        )
        .order_by(Instance.id.desc())
        .limit(_SAMPLE)
    )
    return list(session.scalars(query))


def _entered(
    session: Session, row: KnownSpool | None, spool_id: int, identity: str, name: str
) -> int:
    if row is None:
        session.add(KnownSpool(id=spool_id, identity=identity, name=name, coming=""))
    else:
        row.identity, row.name = identity, name
    session.flush()
    return spool_id
