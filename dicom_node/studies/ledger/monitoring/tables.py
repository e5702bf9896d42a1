"""Tables to watch the model by: notes, references, alarms, thresholds, alerts, anchors."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dicom_node.studies.ledger.column_types import FittingString, FittingText
from dicom_node.studies.ledger.tables import Base


class AuditAnchor(Base):
    """A line of the audit file of one spool; these rows are never changed."""

    __tablename__ = "audit_anchors"

    id: Mapped[int] = mapped_column(primary_key=True)
    spool: Mapped[str] = mapped_column(FittingString(32), index=True)
    """Identity of the spool."""
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(FittingString(64))
    at: Mapped[datetime]


class MonitorNote(Base):
    """What is noted of one answer to watch the model: no value that names a patient."""

    __tablename__ = "monitor_notes"
    __table_args__ = (
        UniqueConstraint("analysis_id"),
        Index("ix_monitor_notes_scanner", "manufacturer", "model", "serial", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analyses.id"))
    at: Mapped[datetime] = mapped_column(index=True)
    """When the study began to arrive."""
    seconds: Mapped[int] = mapped_column(default=0)
    """From its last image to its answer."""
    sender: Mapped[str] = mapped_column(FittingString(16), default="")
    manufacturer: Mapped[str] = mapped_column(FittingString(64), default="")
    model: Mapped[str] = mapped_column(FittingString(64), default="")
    serial: Mapped[str] = mapped_column(FittingString(64), default="")
    software: Mapped[str] = mapped_column(FittingString(255), default="")
    """The values of Software Versions (0018,1020), joined by backslashes."""
    presentation: Mapped[str] = mapped_column(FittingString(16), default="")
    """``2D``, ``synthetic`` or ``tomosynthesis``."""
    age_band: Mapped[str] = mapped_column(FittingString(8), default="")
    """Ten years, for example ``50-59``; empty if unknown."""
    implants: Mapped[bool] = mapped_column(default=False)
    density: Mapped[str] = mapped_column(FittingString(1), default="")
    """A to D, the densest breast's; empty if the bundle does not tell."""
    bundle: Mapped[str] = mapped_column(FittingString(255), default="")
    thresholds: Mapped[str] = mapped_column(FittingString(64), default="")
    """Digest of the settings that can change the answer, with those of a threshold set."""
    threshold_set: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Number of the accepted threshold set; 0 for the bundle's own thresholds."""
    flagged: Mapped[bool]
    """Whether any finding reached its threshold."""
    images: Mapped[int]
    left_out: Mapped[int]
    """Images without an answer."""
    scores: Mapped[str] = mapped_column(FittingText)
    """JSON: of each finding its highest score and whether that reached the threshold."""
    views: Mapped[str] = mapped_column(FittingText)
    """JSON: of each finding its score by view, for example ``L-CC``."""
    embedding: Mapped[str] = mapped_column(FittingText, default="", server_default=text("''"))
    """JSON: a few numbers that stand for the mean embedding; empty where there is none."""
    pixels: Mapped[str] = mapped_column(FittingText, default="", server_default=text("''"))
    """JSON: means of what was measured of the images' pixels, by name; empty where nothing was."""


class ReferenceReset(Base):
    """The time from which on a scanner's answers are its reference, as a person has decided."""

    __tablename__ = "reference_resets"

    id: Mapped[int] = mapped_column(primary_key=True)
    scanner: Mapped[str] = mapped_column(FittingString(255), index=True)
    since: Mapped[datetime]
    reason: Mapped[str] = mapped_column(FittingText)
    decided_by: Mapped[str] = mapped_column(FittingString(128))
    decided_at: Mapped[datetime]


class DriftAlarm(Base):
    """One alarm: by the same answers it is raised once, however often they are looked at."""

    __tablename__ = "drift_alarms"
    __table_args__ = (UniqueConstraint("scanner", "kind", "about", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    scanner: Mapped[str] = mapped_column(FittingString(255))
    kind: Mapped[str] = mapped_column(FittingString(32))
    about: Mapped[str] = mapped_column(FittingString(128), default="")
    """What of it: a finding, a software version; else empty."""
    at: Mapped[datetime]
    """Of the answer that raised it."""
    noticed_at: Mapped[datetime]
    detail: Mapped[str] = mapped_column(FittingText)


class ThresholdSet(Base):
    """Thresholds for the answers to one scanner's images; its number is its version."""

    __tablename__ = "threshold_sets"

    id: Mapped[int] = mapped_column(primary_key=True)
    equipment: Mapped[str] = mapped_column(FittingString(400), index=True)
    """Fingerprint for which it holds."""
    bundle: Mapped[str] = mapped_column(FittingString(255))
    thresholds: Mapped[str] = mapped_column(FittingText)
    """JSON: of each finding the threshold."""
    facts: Mapped[str] = mapped_column(FittingText)
    """JSON: what it was computed from, and the flag rate before and after."""
    proposed_by: Mapped[str] = mapped_column(FittingString(128))
    proposed_at: Mapped[datetime]
    accepted_by: Mapped[str] = mapped_column(FittingString(128), default="")
    accepted_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str] = mapped_column(FittingString(128), default="")
    withdrawn_at: Mapped[datetime | None]


class Alert(Base):
    """Something that people are told by one channel: kept until the channel has taken it."""

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("channel", "subject"),
        Index(
            "ix_alerts_waiting",
            "due_at",
            sqlite_where=text("sent_at IS NULL"),
            postgresql_where=text("sent_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(FittingString(16))
    """``webhook`` or ``mail``."""
    subject: Mapped[str] = mapped_column(FittingString(255))
    """What it is about; one alert for each."""
    body: Mapped[str] = mapped_column(FittingText)
    at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(FittingText, default="")
    """Why the last attempt failed."""
