"""What senders were promised: requests for storage commitment, and what was answered."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from dicom_node.facts.commitment_request import Asked, Reference
from dicom_node.studies.ledger.arrival.correcting import OTHER_CONTENT
from dicom_node.studies.ledger.arrival.registering import hold_instances
from dicom_node.studies.ledger.site_tables import Commitment, CommitmentItem
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study

PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119
"""Failure reasons (PS3.3 C.14.1.1)."""

_BATCH: Final = 500


def copies_of(session: Session, references: Sequence[Reference]) -> list[Instance]:
    """Return all that was ever received of some SOP Instances, the oldest first."""
    rows = _rows_of(session, {one.sop_instance_uid for one in references})
    return sorted(rows, key=lambda row: row.id)


def would_fail(
    references: Iterable[Reference], copies: Sequence[Instance], is_there: Collection[str]
) -> bool:
    """Return whether the node could not commit to all of these now; see `enter_commitment`."""
    held = _Held.of(copies, is_there)
    return any(held.failure(one) is not None for one in references)


def are_moving(copies: Sequence[Instance]) -> bool:
    """Return whether the node has one of these copies, and has not registered it yet."""
    return bool(_Held.of(copies, ()).moving)


def enter_commitment(
    session: Session, asked: Asked, *, is_there: Collection[str], at: datetime
) -> Commitment:
    """Commit to what the node holds, and have it reported.

    A repeated request is answered anew: its first report may be lost.

    Parameters
    ----------
    is_there : places whose files are on the disk, as far as it can be looked at
    """
    # Their studies are locked: none is removed between the answer and its record.
    copies = hold_instances(session, [row.id for row in copies_of(session, asked.references)])
    held = _Held.of(copies, is_there)
    row = _commitment(session, asked, at)
    items = [
        CommitmentItem(
            commitment_id=row.id,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            failure_reason=held.failure(one),
        )
        for one in dict.fromkeys(asked.references)
    ]
    session.add_all(items)
    promised = [
        held.present[one.sop_instance_uid].id for one in items if one.failure_reason is None
    ]
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


@dataclass(frozen=True, slots=True)
class _Held:
    """What the node has of the SOP Instances of a request, by their UIDs.

    Attributes
    ----------
    present : registered, with the file on the disk, and not in doubt
    lying : set aside: kept, but for a time of its own, and nobody reads it
    moving : neither yet
    """

    present: dict[str, Instance]
    lying: set[str]
    moving: set[str]

    @classmethod
    def of(cls, copies: Sequence[Instance], is_there: Collection[str]) -> "_Held":
        """Return it by all that was received of them, the oldest first."""
        newest = {row.sop_instance_uid: row for row in copies}
        back = {uid for uid, row in newest.items() if row.state is InstanceState.TAKEN_BACK}
        received = {row.sop_instance_uid for row in copies if row.state is InstanceState.RECEIVED}
        set_aside = [row for row in copies if row.state is InstanceState.SET_ASIDE]
        kept = [row for row in copies if row.state is InstanceState.REGISTERED]
        registered = {row.sop_instance_uid: row for row in kept}
        in_doubt = _in_doubt(registered, set_aside)
        return cls(
            present={
                uid: row
                for uid, row in registered.items()
                if row.place in is_there and uid not in in_doubt
            },
            lying={row.sop_instance_uid for row in set_aside},
            moving=back | received,
        )

    def failure(self, one: Reference) -> int | None:
        """Return the failure reason for a reference; None if the node commits to it."""
        row = self.present.get(one.sop_instance_uid)
        if row is None:
            is_kept = one.sop_instance_uid in self.lying | self.moving
            return PROCESSING_FAILURE if is_kept else NO_SUCH_INSTANCE
        return None if row.sop_class_uid == one.sop_class_uid else CLASS_INSTANCE_CONFLICT


def _in_doubt(registered: Mapping[str, Instance], set_aside: Iterable[Instance]) -> set[str]:
    """Return the UIDs whose sender may mean another copy, with other pixels, than the registered.

    Whoever committed to the one would let the sender delete the other, which the node drops in the
    end. What was set aside before, for another reason, is what the registered one was sent for.
    """
    beside = ((registered.get(other.sop_instance_uid), other) for other in set_aside)
    return {
        other.sop_instance_uid
        for row, other in beside
        if row is not None and (other.reason == OTHER_CONTENT or other.id > row.id)
    }


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
