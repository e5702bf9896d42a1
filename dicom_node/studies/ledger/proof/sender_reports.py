"""The reports that senders are still to get on their requests, and which node tells them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from dicom_node.facts.commitment_request import Reference
from dicom_node.studies.ledger.site_tables import Commitment, CommitmentItem

_EARLIER: Final = timedelta(milliseconds=1)
"""So that one report which its sender never takes is not the first to be tried each time."""

_IS_OPEN: Final = Commitment.reported_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is to be reported to a sender.

    Attributes
    ----------
    failed : each with its failure reason
    """

    id: int
    transaction_uid: str
    calling_ae_title: str
    called_ae_title: str
    requested_at: datetime
    attempts: int
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """A node that tells one sender.

    Attributes
    ----------
    own : Transaction UIDs of the requests that this node has taken
    on_line : those of them whose sender may be told over the association of its request
    head_start : how long it leaves the others to the nodes that have taken them
    """

    calling_ae_title: str
    own: frozenset[str]
    on_line: frozenset[str]
    head_start: timedelta

    def is_due(self, at: datetime) -> ColumnElement[bool]:
        """Return the condition for reports that this node is to give now."""
        return and_(
            _IS_OPEN,
            Commitment.calling_ae_title == self.calling_ae_title,
            Commitment.due_at <= at,
            or_(
                Commitment.due_at <= at - self.head_start, Commitment.transaction_uid.in_(self.own)
            ),
        )


def senders_due(session: Session, ae_titles: Collection[str], *, at: datetime) -> list[str]:
    """Return which of some senders are to be told something now, the longest due first."""
    title = Commitment.calling_ae_title
    query = (
        select(title)
        .where(_IS_OPEN, Commitment.due_at <= at, title.in_(ae_titles))
        .group_by(title)
        .order_by(func.min(Commitment.due_at), title)
    )
    return list(session.scalars(query))


def claim_report(
    session: Session, teller: Teller, *, at: datetime, until: datetime
) -> Report | None:
    """Take the report that is due the longest, so that no other node gives it meanwhile.

    Parameters
    ----------
    until : when it is due again, if nothing more is heard of it
    """
    query = (
        select(Commitment)
        .where(teller.is_due(at))
        .order_by(Commitment.due_at, Commitment.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = session.scalars(query).first()
    if row is None:
        return None
    row.due_at = until
    return _report(session, row)


def note_reported(session: Session, report: Report, *, at: datetime, reason: str = "") -> None:
    """Record that a sender took its report, or with a reason that it was given up."""
    _change(session, report, reported_at=at, reason=reason)


def postpone_reports(
    session: Session,
    report: Report,
    teller: Teller,
    *,
    wait: timedelta,
    at: datetime,
    reason: str,
) -> None:
    """Have a report sent later, because the sender did not take it, and its others with it.

    They are tried before that one: it may be the only one that the sender does not take. What it
    may be told over an open association is not put off.
    """
    later: dict[str, Any] = {"attempts": Commitment.attempts + 1, "reason": reason}
    session.execute(
        update(Commitment)
        .where(teller.is_due(at), Commitment.transaction_uid.not_in(teller.on_line))
        .values(due_at=at + wait - _EARLIER, **later)
        .execution_options(synchronize_session=False)
    )
    _change(session, report, due_at=at + wait, **later)


def forgotten_reports(
    session: Session,
    ae_titles: Collection[str],
    *,
    requested_before: datetime,
    due_before: datetime,
    limit: int = 100,
) -> list[Report]:
    """List old reports for all but some senders, which no other node tries to give either.

    Parameters
    ----------
    ae_titles : of the senders that the settings name
    """
    query = select(Commitment).where(
        _IS_OPEN,
        Commitment.due_at <= due_before,
        Commitment.requested_at <= requested_before,
        Commitment.calling_ae_title.not_in(ae_titles),
    )
    return [_report(session, row) for row in session.scalars(query.limit(limit))]


def _change(session: Session, report: Report, **values: object) -> None:
    # Compared, since the sender may have asked again while it was told.
    session.execute(
        update(Commitment)
        .where(Commitment.id == report.id, Commitment.requested_at == report.requested_at)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def _report(session: Session, row: Commitment) -> Report:
    items = session.scalars(
        select(CommitmentItem)
        .where(CommitmentItem.commitment_id == row.id)
        .order_by(CommitmentItem.id)
    ).all()
    named = [
        (Reference(one.sop_class_uid, one.sop_instance_uid), one.failure_reason) for one in items
    ]
    return Report(
        id=row.id,
        transaction_uid=row.transaction_uid,
        calling_ae_title=row.calling_ae_title,
        called_ae_title=row.called_ae_title,
        requested_at=row.requested_at,
        attempts=row.attempts,
        committed=tuple(one for one, reason in named if reason is None),
        failed=tuple((one, reason) for one, reason in named if reason is not None),
    )
