"""Requests for storage commitment: what an archive was asked to vouch for, and how it ended."""

import json
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.proof.proofs import ProofClaim, ask_again, claim_on
from dicom_node.studies.ledger.site_tables import CommitmentRequest
from dicom_node.studies.ledger.tables import Delivery


def open_request(
    session: Session, held: ProofClaim, transaction_uid: str, *, at: datetime, expires_at: datetime
) -> None:
    """Enter a request before it is sent: whatever is killed then, its answer is understood."""
    session.add(
        CommitmentRequest(
            transaction_uid=transaction_uid,
            delivery_id=held.delivery_id,
            objects=json.dumps([one.id for one in held.objects]),
            asked_at=at,
            expires_at=expires_at,
            ending="",
        )
    )
    ask_again(session, held, reason="no answer on storage commitment yet", due_at=expires_at)


def end_request(session: Session, transaction_uid: str, ending: str, *, at: datetime) -> None:
    """Record how a request ended: no answer to it counts any more."""
    session.execute(
        update(CommitmentRequest)
        .where(
            CommitmentRequest.transaction_uid == transaction_uid,
            CommitmentRequest.ended_at.is_(None),
        )
        .values(ended_at=at, ending=ending)
        .execution_options(synchronize_session=False)
    )


def end_expired(session: Session, delivery_id: int, *, at: datetime) -> None:
    """End the requests about a delivery that were not answered in their time."""
    session.execute(
        update(CommitmentRequest)
        .where(
            CommitmentRequest.delivery_id == delivery_id,
            CommitmentRequest.ended_at.is_(None),
            CommitmentRequest.expires_at <= at,
        )
        .values(ended_at=at, ending="not answered within commitment_seconds")
        .execution_options(synchronize_session=False)
    )


def asked_about(
    session: Session, transaction_uid: str, destinations: Collection[str]
) -> tuple[ProofClaim | None, frozenset[int]] | None:
    """Return what a transaction is about; None unless it is open, at one of these destinations.

    Returns
    -------
    claim : None if nothing of the delivery is to be proven any more
    asked : ids of the result objects that were asked for
    """
    request = session.scalars(
        select(CommitmentRequest).where(
            CommitmentRequest.transaction_uid == transaction_uid,
            CommitmentRequest.ended_at.is_(None),
        )
    ).first()
    if request is None:
        return None
    row = session.get_one(Delivery, request.delivery_id)
    if row.destination not in destinations:
        return None
    asked = frozenset(json.loads(request.objects))
    return claim_on(session, row, asked_at=request.asked_at), asked
