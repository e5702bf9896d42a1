"""Answers of further bundles: begun beside an analysis, claimed, kept, and listed beside it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import ColumnElement, literal_column, or_, select, update
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.site_tables import ShadowAnalysis
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis

log = structlog.get_logger("dicom_node.shadows")

DUE: Final = "due"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
UNFINISHED: Final = (DUE, RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowClaim:
    """The right of one worker to one shadow answer, valid until the version changes."""

    id: int
    version: int
    analysis_id: int
    bundle: str
    attempt: int


def begin_shadows(
    session: Session, analysis_id: int, bundles: Collection[str], *, at: datetime
) -> None:
    """Make the answers of further bundles due, beside an analysis that has its own.

    Parameters
    ----------
    bundles : their names in the settings
    """
    known = set(
        session.scalars(
            select(ShadowAnalysis.bundle).where(ShadowAnalysis.analysis_id == analysis_id)
        )
    )
    session.add_all(
        ShadowAnalysis(
            analysis_id=analysis_id,
            bundle=name,
            state=DUE,
            version=0,
            attempts=0,
            due_at=at,
            created_at=at,
            lease_holder="",
            reason="",
            answered_by="",
        )
        for name in bundles
        if name not in known
    )


def untold_shadows(
    session: Session, *, at: datetime, told_before: datetime, limit: int
) -> Sequence[ShadowAnalysis]:
    """List shadow answers that a worker should be told of, unless an analysis waits for one.

    Parameters
    ----------
    told_before : those of which a worker was told before this are told of again
    """
    query = (
        select(ShadowAnalysis)
        .where(
            _is_open(at),
            ShadowAnalysis.due_at <= at,
            or_(
                ShadowAnalysis.dispatched_at.is_(None), ShadowAnalysis.dispatched_at <= told_before
            ),
        )
        .order_by(ShadowAnalysis.due_at, ShadowAnalysis.id)
        .limit(limit)
    )
    rows = session.scalars(query).all()
    # Where there are none, as at most sites, one look at a small index is all that this costs.
    waiting = select(Analysis.id).where(
        Analysis.state == literal_column(f"'{AnalysisState.DUE.value}'"), Analysis.due_at <= at
    )
    if rows and session.scalars(waiting.limit(1)).first() is not None:
        return ()
    return rows


def note_told(session: Session, ids: Collection[int], *, at: datetime) -> None:
    """Record when the broker last took messages about shadow answers."""
    session.execute(
        update(ShadowAnalysis)
        .where(ShadowAnalysis.id.in_(ids))
        .values(dispatched_at=at)
        .execution_options(synchronize_session=False)
    )


def claim_shadow(
    session: Session,
    analysis_id: int,
    *,
    holder: str,
    lease: timedelta,
    maximum_attempts: int,
    at: datetime,
) -> ShadowClaim | None:
    """Claim a shadow answer that is due or whose worker was lost; None if there is none.

    One whose worker was lost in its last attempt is given up: others have theirs after it.
    """
    query = (
        select(ShadowAnalysis)
        .where(ShadowAnalysis.analysis_id == analysis_id, ShadowAnalysis.due_at <= at, _is_open(at))
        .order_by(ShadowAnalysis.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = session.scalars(query).first()
    if row is None:
        return None
    if row.state == RUNNING and row.attempts >= maximum_attempts:
        row.state, row.version, row.finished_at = FAILED, row.version + 1, at
        row.reason = f"given up after {row.attempts} attempts: worker {row.lease_holder} died"
        log.error("shadow_failed", bundle=row.bundle, reason=row.reason)
        return None
    row.state, row.version, row.attempts = RUNNING, row.version + 1, row.attempts + 1
    row.lease_holder, row.lease_expires_at, row.dispatched_at = holder, at + lease, None
    session.flush()
    return ShadowClaim(
        id=row.id,
        version=row.version,
        analysis_id=analysis_id,
        bundle=row.bundle,
        attempt=row.attempts,
    )


def renew_shadow(session: Session, held: ShadowClaim, *, until: datetime) -> bool:
    """Extend a lease; return False if the claim is no longer valid."""
    return _changed(session, held, lease_expires_at=until)


def finish_shadow(
    session: Session, held: ShadowClaim, *, findings: str, answered_by: str, at: datetime
) -> bool:
    """Keep an answer; return False if the claim is no longer valid."""
    return _changed(
        session,
        held,
        state=DONE,
        version=held.version + 1,
        findings=findings,
        answered_by=answered_by,
        reason="",
        finished_at=at,
    )


def fail_shadow(session: Session, held: ShadowClaim, *, reason: str, at: datetime) -> bool:
    """Record that there will be no answer; return False if the claim is no longer valid."""
    return _changed(
        session, held, state=FAILED, version=held.version + 1, reason=reason, finished_at=at
    )


def give_back_shadow(
    session: Session, held: ShadowClaim, *, reason: str, due_at: datetime, counted: bool
) -> bool:
    """Make an answer due again; return False if the claim is no longer valid.

    Parameters
    ----------
    counted : False if the cause is the site and not the study
    """
    return _changed(
        session,
        held,
        state=DUE,
        version=held.version + 1,
        attempts=held.attempt if counted else held.attempt - 1,
        reason=reason,
        due_at=due_at,
        dispatched_at=None,
    )


def _is_open(at: datetime) -> ColumnElement[bool]:
    # Literals and no parameters: only so does SQLite see that a partial index holds the answer.
    is_unfinished = ShadowAnalysis.state.in_([literal_column(f"'{one}'") for one in UNFINISHED])
    is_due = ShadowAnalysis.state == literal_column(f"'{DUE}'")
    return is_unfinished & or_(is_due, ShadowAnalysis.lease_expires_at < at)


def _changed(session: Session, held: ShadowClaim, **values: object) -> bool:
    moved = session.execute(
        update(ShadowAnalysis)
        .where(ShadowAnalysis.id == held.id, ShadowAnalysis.version == held.version)
        .values(**values)
        .execution_options(synchronize_session=False)
        .returning(ShadowAnalysis.id)
    ).first()
    return moved is not None
