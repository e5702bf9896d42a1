"""What senders were promised: requests for storage commitment, and what was answered."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.arrival.registering import hold_instances
from dicom_node.studies.ledger.site_tables import Commitment, CommitmentItem
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study

PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119
"""Failure reasons (PS3.3 C.14.1.1)."""

_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Reference:
    """One SOP Instance that a sender asks about."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for storage commitment."""

    transaction_uid: str
    calling_ae_title: str
    called_ae_title: str
    references: tuple[Reference, ...]


def unknown_among(session: Session, references: Sequence[Reference]) -> bool:
    """Return whether the ledger has nothing at all of one of these, which may yet come."""
    uids = {one.sop_instance_uid for one in references}
    return len(uids) > len({row.sop_instance_uid for row in _rows_of(session, uids)})


def enter_commitment(
    session: Session, asked: Asked, *, is_there: Collection[str], at: datetime
) -> Commitment:
    """Commit to what the node holds, and have it reported.

    A repeated request is answered anew: its first report may be lost.

    Parameters
    ----------
    is_there : places whose files are on the disk, as far as it can be looked at
    """
    uids = {one.sop_instance_uid for one in asked.references}
    # Their studies are locked: none is removed between the answer and its record.
    held = hold_instances(session, [row.id for row in _rows_of(session, uids)])
    kept = {row.sop_instance_uid: row for row in held if row.state is InstanceState.REGISTERED}
    present = {uid: row for uid, row in kept.items() if row.place in is_there}
    lying = {row.sop_instance_uid for row in held if row.state is InstanceState.SET_ASIDE}
    row = _commitment(session, asked, at)
    items = [
        CommitmentItem(
            commitment_id=row.id,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            failure_reason=_failure(one, present, lying),
        )
        for one in dict.fromkeys(asked.references)
    ]
    session.add_all(items)
    promised = [present[one.sop_instance_uid].id for one in items if one.failure_reason is None]
    for first in range(0, len(promised), _BATCH):
        session.execute(
            update(Instance)
            .where(
                Instance.id.in_(promised[first : first + _BATCH]), Instance.committed_at.is_(None)
            )
            .values(committed_at=at)
            .execution_options(synchronize_session=False)
        )
    return row


def places_of(session: Session, references: Sequence[Reference]) -> dict[str, int]:
    """Return where the registered instances of these lie, each with the number of its spool."""
    rows = _rows_of(session, {one.sop_instance_uid for one in references})
    return {row.place: row.spool_id for row in rows if row.state is InstanceState.REGISTERED}


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedImage:
    """An image that the node keeps for its sender until an archive is seen to hold it."""

    id: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


def promised_images(session: Session, *, after: int, limit: int) -> list[PromisedImage]:
    """List images that were promised and not found at an archive, by the number of their row."""
    query = (
        select(Instance, Study.study_instance_uid)
        .join(Study, Study.id == Instance.study_id)
        .where(
            Instance.committed_at.is_not(None),
            Instance.archived_at.is_(None),
            # Rejected by a note since, or not; a copy that gave way left its promise to the other.
            Instance.state.in_([InstanceState.REGISTERED, InstanceState.SET_ASIDE]),
            Instance.place != "",
            Instance.id > after,
        )
        .order_by(Instance.id)
        .limit(limit)
    )
    return [
        PromisedImage(
            id=row.id,
            sop_class_uid=row.sop_class_uid,
            sop_instance_uid=row.sop_instance_uid,
            series_instance_uid=row.series_instance_uid,
            study_instance_uid=study,
        )
        for row, study in session.execute(query)
    ]


def note_archived(session: Session, instance_ids: Collection[int], *, at: datetime) -> None:
    """Record that images were found at an archive: the node need not keep them any more."""
    session.execute(
        update(Instance)
        .where(Instance.id.in_(instance_ids), Instance.archived_at.is_(None))
        .values(archived_at=at)
        .execution_options(synchronize_session=False)
    )


def _rows_of(session: Session, uids: Collection[str]) -> list[Instance]:
    wanted, found = sorted(uids), list[Instance]()
    for first in range(0, len(wanted), _BATCH):
        query = select(Instance).where(
            Instance.sop_instance_uid.in_(wanted[first : first + _BATCH])
        )
        found += session.scalars(query)
    return found


def _failure(one: Reference, present: dict[str, Instance], lying: set[str]) -> int | None:
    row = present.get(one.sop_instance_uid)
    if row is None:
        # It is kept, but for a time of its own, and nobody reads it.
        return PROCESSING_FAILURE if one.sop_instance_uid in lying else NO_SUCH_INSTANCE
    return None if row.sop_class_uid == one.sop_class_uid else CLASS_INSTANCE_CONFLICT


def _commitment(session: Session, asked: Asked, at: datetime) -> Commitment:
    query = select(Commitment).where(
        Commitment.transaction_uid == asked.transaction_uid,
        Commitment.calling_ae_title == asked.calling_ae_title,
    )
    row = session.scalars(query.with_for_update()).first()
    if row is None:
        row = Commitment(
            transaction_uid=asked.transaction_uid,
            calling_ae_title=asked.calling_ae_title,
            attempts=0,
            reason="",
        )
        session.add(row)
    else:
        session.execute(delete(CommitmentItem).where(CommitmentItem.commitment_id == row.id))
    row.called_ae_title, row.requested_at, row.due_at = asked.called_ae_title, at, at
    row.attempts, row.reported_at = 0, None
    session.flush()
    return row
