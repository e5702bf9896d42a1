"""Requests for storage commitment: what an archive was asked to vouch for, and how it ended."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from dicom_node.studies.ledger.column_types import FittingString, FittingText
from dicom_node.studies.ledger.tables import Base


class CommitmentRequest(Base):
    """One transaction of storage commitment for the objects of a delivery (PS3.4 J.3)."""

    __tablename__ = "commitment_requests"

    id: Mapped[int] = mapped_column(primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(FittingString(64), unique=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"), index=True)
    objects: Mapped[str] = mapped_column(FittingText)
    """The ids of its result objects, as a list in JSON: no answer counts for any other."""
    asked_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    """When it is taken for lost and another one is made."""
    ended_at: Mapped[datetime | None]
    ending: Mapped[str] = mapped_column(FittingText, default="")
    """How it ended, in words; empty while an answer is waited for."""
