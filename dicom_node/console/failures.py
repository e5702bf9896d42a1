"""Failures grouped by cause: a thousand of one dead archive are one line with one button."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.destinations.overview import destination_summaries
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

LOOKED_AT: Final = 20_000
"""Newest failures of each kind that are looked at."""

SHOWN: Final = 20
"""Studies of a cause that are listed."""

_DOWN: Final = frozenset({"failing", "down", "trying"})
_VARYING: Final = re.compile(r"\d+(\.\d+){3,}|\b[0-9a-f]{16,}\b|\d+")


@dataclass(slots=True, kw_only=True)
class Cause:
    """Why something failed, and what failed for it.

    Attributes
    ----------
    key : by which a form names it
    what : analysis or delivery
    is_down : whether it is a destination that does not take anything at present
    words : the reason, with ``…`` for numbers that differ
    waiting : deliveries that wait for the destination to answer
    reasons : as the ledger has them
    """

    key: str
    what: str
    destination: str = ""
    is_down: bool = False
    words: str = ""
    count: int = 0
    waiting: int = 0
    studies: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def causes(session: Session, settings: Settings) -> list[Cause]:
    """Return the causes of everything that failed, the most frequent first."""
    found: dict[str, Cause] = {}
    down = _destinations_down(session, settings)
    for name, cause in down.items():
        found[name] = cause
    for reason, uid in _failed_analyses(session):
        _add(found, "analysis", "", reason, uid)
    for name, reason, uid in _failed_deliveries(session):
        if name in down:
            _count(down[name], reason, uid)
        else:
            _add(found, "delivery", name, reason, uid)
    return sorted(found.values(), key=lambda one: (not one.is_down, -one.count - one.waiting))


def members_of(session: Session, settings: Settings, key: str) -> Cause:
    """Return the cause that a form names.

    Raises
    ------
    NodeError
        Nothing fails for it any more.
    """
    known = next((one for one in causes(session, settings) if one.key == key), None)
    if known is None:
        raise NodeError("nothing is left of this cause: somebody has retried it meanwhile")
    return known


def _destinations_down(session: Session, settings: Settings) -> dict[str, Cause]:
    names = tuple(one.name for one in settings.destinations)
    summaries = destination_summaries(session, names, known=settings.destination_names)
    return {
        one.name: Cause(
            key=_key("down", one.name, ""),
            what="delivery",
            destination=one.name,
            is_down=True,
            words=one.reason,
            waiting=one.waiting,
        )
        for one in summaries
        if one.condition in _DOWN
    }


def _failed_analyses(session: Session) -> Iterable[tuple[str, str]]:
    query = (
        select(Analysis.reason, Study.study_instance_uid)
        .join(Study, and_(Study.id == Analysis.study_id, Study.revision == Analysis.revision))
        .where(in_states(Analysis, AnalysisState.FAILED))
        .order_by(Analysis.id.desc())
        .limit(LOOKED_AT)
    )
    return [(reason, uid) for reason, uid in session.execute(query)]


def _failed_deliveries(session: Session) -> Iterable[tuple[str, str, str]]:
    stopped = (DeliveryState.REFUSED, DeliveryState.EXPIRED, DeliveryState.HELD)
    query = (
        select(Delivery.destination, Delivery.reason, Study.study_instance_uid)
        .join(Analysis, Analysis.id == Delivery.analysis_id)
        .join(Study, and_(Study.id == Analysis.study_id, Study.revision == Analysis.revision))
        .where(in_states(Delivery, *stopped), Delivery.state != DeliveryState.HELD)
        .order_by(Delivery.id.desc())
        .limit(LOOKED_AT)
    )
    return [(name, reason, uid) for name, reason, uid in session.execute(query)]


def _add(found: dict[str, Cause], what: str, destination: str, reason: str, uid: str) -> None:
    words = _VARYING.sub("…", reason) or "no reason was given"
    key = _key(what, destination, words)
    cause = found.setdefault(key, Cause(key=key, what=what, destination=destination, words=words))
    _count(cause, reason, uid)


def _count(cause: Cause, reason: str, uid: str) -> None:
    cause.count += 1
    if len(cause.studies) < SHOWN:
        cause.studies.append(uid)
    if reason not in cause.reasons:
        cause.reasons.append(reason)


def _key(*parts: Sequence[str] | str) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:24]
