"""Thresholds for one scanner and software: proposed, accepted by a person, and withdrawn."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.studies.ledger.monitoring.tables import ThresholdSet


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdsFacts:
    """One threshold set.

    Attributes
    ----------
    number : its version
    state : ``proposed``, ``accepted`` or ``withdrawn``
    facts : what it was computed from, in words by finding
    """

    number: int
    equipment: str
    bundle: str
    thresholds: Mapping[str, float]
    facts: Mapping[str, str]
    state: str
    by: str
    at: datetime


def propose(
    session: Session,
    equipment: Fingerprint,
    bundle: str,
    *,
    thresholds: Mapping[str, float],
    facts: Mapping[str, str],
    by: str,
    at: datetime,
) -> int:
    """Enter a proposal, which changes nothing until it is accepted; return its number.

    Parameters
    ----------
    bundle : name, version and digest, as analyses have it
    """
    row = ThresholdSet(
        equipment=equipment.in_words(),
        bundle=bundle,
        thresholds=json.dumps(dict(thresholds)),
        facts=json.dumps(dict(facts)),
        proposed_by=by,
        proposed_at=at,
    )
    session.add(row)
    session.flush()
    return row.id


def accept(session: Session, number: int, *, by: str, at: datetime) -> ThresholdsFacts:
    """Let answers to this equipment's images be judged by a set from now on; former ones end.

    Raises
    ------
    NodeError
        There is no such proposal.
    """
    row, others = _locked(session, number)
    if row.accepted_at is not None or row.withdrawn_at is not None:
        raise NodeError(f"threshold set {number} is {_state(row)} already")
    for former in others:
        if _state(former) == "accepted":
            former.withdrawn_at, former.withdrawn_by = at, by
    row.accepted_at, row.accepted_by = at, by
    session.flush()
    return _facts(row)


def withdraw(session: Session, number: int, *, by: str, at: datetime) -> ThresholdsFacts:
    """Judge by the bundle's own thresholds again.

    Raises
    ------
    NodeError
        There is no such set, or it is withdrawn.
    """
    row, _ = _locked(session, number)
    if row.withdrawn_at is not None:
        raise NodeError(f"threshold set {number} is withdrawn already")
    row.withdrawn_at, row.withdrawn_by = at, by
    session.flush()
    return _facts(row)


def thresholds_for(
    session: Session, equipment: Fingerprint, bundle: str
) -> tuple[int, Mapping[str, float]]:
    """Return number and thresholds of the accepted set for some equipment; 0 and none if none."""
    query = select(ThresholdSet).where(
        ThresholdSet.equipment == equipment.in_words(),
        ThresholdSet.bundle == bundle,
        ThresholdSet.accepted_at.is_not(None),
        ThresholdSet.withdrawn_at.is_(None),
    )
    row = session.scalars(query.order_by(ThresholdSet.id.desc()).limit(1)).first()
    return (0, {}) if row is None else (row.id, json.loads(row.thresholds))


def threshold_sets(session: Session) -> list[ThresholdsFacts]:
    """Return all sets, the oldest first."""
    return [_facts(row) for row in session.scalars(select(ThresholdSet).order_by(ThresholdSet.id))]


def _locked(session: Session, number: int) -> tuple[ThresholdSet, list[ThresholdSet]]:
    """Lock a set with all others for its equipment and bundle, of which one at most counts."""
    of = select(ThresholdSet.equipment, ThresholdSet.bundle).where(ThresholdSet.id == number)
    found = session.execute(of).first()
    if found is None:
        raise NodeError(f"there is no threshold set {number}: see 'mammoclip-node thresholds'")
    query = select(ThresholdSet).where(
        ThresholdSet.equipment == found.equipment, ThresholdSet.bundle == found.bundle
    )
    # In one order: two people who decide at once wait for each other.
    query = query.order_by(ThresholdSet.id).with_for_update()
    rows = session.scalars(query.execution_options(populate_existing=True)).all()
    return (
        next(row for row in rows if row.id == number),
        [row for row in rows if row.id != number],
    )


def _state(row: ThresholdSet) -> str:
    if row.withdrawn_at is not None:
        return "withdrawn"
    return "proposed" if row.accepted_at is None else "accepted"


def _facts(row: ThresholdSet) -> ThresholdsFacts:
    steps: dict[str, tuple[str, Any]] = {
        "proposed": (row.proposed_by, row.proposed_at),
        "accepted": (row.accepted_by, row.accepted_at),
        "withdrawn": (row.withdrawn_by, row.withdrawn_at),
    }
    by, at = steps[_state(row)]
    return ThresholdsFacts(
        number=row.id,
        equipment=row.equipment,
        bundle=row.bundle,
        thresholds=json.loads(row.thresholds),
        facts=json.loads(row.facts),
        state=_state(row),
        by=by,
        at=at,
    )
