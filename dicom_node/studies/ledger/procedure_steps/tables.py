"""Tables of workitems that are performed, and of what others announce of studies."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dicom_node.studies.ledger.column_types import FittingString, FittingText
from dicom_node.studies.ledger.tables import Base


class WorkitemState(StrEnum):
    """How far the node is with a workitem."""

    REFUSED = "refused"
    """Left for others, with the reason."""
    CLAIMING = "claiming"
    """The Transaction UID is chosen; whether the server has taken it is not known yet."""
    HELD = "held"
    """The server says IN PROGRESS, by this node's Transaction UID."""
    COMPLETING = "completing"
    CANCELING = "canceling"
    COMPLETED = "completed"
    CANCELED = "canceled"
    LOST = "lost"
    """Another performer has it, or the server knows it no more."""


OPEN_STATES = (
    WorkitemState.CLAIMING,
    WorkitemState.HELD,
    WorkitemState.COMPLETING,
    WorkitemState.CANCELING,
)
"""The states in which the node still has something to tell the server."""

_OPEN = f"state IN ({', '.join(repr(one.value) for one in OPEN_STATES)})"


class Workitem(Base):
    """A workitem of the worklist that the node performs or has refused (PS3.4 CC)."""

    __tablename__ = "workitems"
    __table_args__ = (
        UniqueConstraint("workitem_uid"),
        Index("ix_workitems_open", "id", sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    workitem_uid: Mapped[str] = mapped_column(FittingString(64))
    transaction_uid: Mapped[str] = mapped_column(FittingString(64), default="")
    """By which the server knows the node as its performer."""
    state: Mapped[str] = mapped_column(FittingString(16))
    spool_id: Mapped[int] = mapped_column(default=1)
    """The spool of the node that performs it; of several nodes no other touches the row."""
    study_instance_uid: Mapped[str] = mapped_column(FittingString(64), default="", index=True)
    inputs: Mapped[str] = mapped_column(FittingText, default="[]")
    """SOP Instance UIDs of the images that are to be analysed, as a list in JSON."""
    patient_digest: Mapped[str] = mapped_column(FittingString(255), default="")
    code: Mapped[str] = mapped_column(FittingText, default="[]")
    """The Scheduled Workitem Code: value, scheme and meaning, as a list in JSON."""
    priority: Mapped[int] = mapped_column(default=1)
    """0 off-peak, 1 routine, 2 stat."""
    analysis_revision: Mapped[int] = mapped_column(default=0)
    """Revision of the study whose results complete it; 0 until they are there."""
    reason: Mapped[str] = mapped_column(FittingText, default="")
    """Why it is refused, canceled or lost; empty otherwise."""
    discontinuation: Mapped[str] = mapped_column(FittingString(16), default="")
    """Code of CID 9301 or 9300 with which it is canceled."""
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    """Whether somebody asked to cancel it."""
    told: Mapped[str] = mapped_column(FittingText, default="")
    """The progress that the server was told last."""
    told_at: Mapped[datetime | None]
    seen_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]
    due_at: Mapped[datetime]
    """When its images are next asked for, or a refused one is looked at again."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often its images were asked for."""
    ended_at: Mapped[datetime | None]
    """When its results were there, or it was decided to cancel it."""


class AnnouncedStudy(Base):
    """What one message of another system says of the images of one study."""

    __tablename__ = "announced_studies"
    __table_args__ = (UniqueConstraint("announced_by", "study_instance_uid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    announced_by: Mapped[str] = mapped_column(FittingString(64))
    """SOP Instance UID of the performed procedure step, the notification or the workitem."""
    kind: Mapped[str] = mapped_column(FittingString(16))
    """``mpps``, ``ian`` or ``workitem``."""
    state: Mapped[str] = mapped_column(FittingString(16))
    """``in progress``, ``completed`` or ``discontinued``."""
    study_instance_uid: Mapped[str] = mapped_column(FittingString(64), index=True)
    calling_ae_title: Mapped[str] = mapped_column(FittingString(16), default="")
    images: Mapped[str] = mapped_column(FittingText, default="[]")
    """SOP Instance UIDs of the mammograms that there are, as a list in JSON."""
    patient_digest: Mapped[str] = mapped_column(FittingString(255), default="")
    remark: Mapped[str] = mapped_column(FittingText, default="")
    """Why it is not used; empty if it is."""
    changed_at: Mapped[datetime]
