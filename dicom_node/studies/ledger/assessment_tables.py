"""Tables of what readers say of results, and of what turned out to be true."""

from datetime import datetime
from typing import Final

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dicom_node.studies.ledger.column_types import FittingString, FittingText
from dicom_node.studies.ledger.tables import Base, Instance

REPORTS: Final = (
    "state = 'set_aside' AND removed_at IS NULL AND sop_class_uid IN ("
    "'1.2.840.10008.5.1.4.1.1.88.11', '1.2.840.10008.5.1.4.1.1.88.22', "
    "'1.2.840.10008.5.1.4.1.1.88.33', '1.2.840.10008.5.1.4.1.1.88.34', "
    "'1.2.840.10008.5.1.4.1.1.88.35')"
)
"""Structured reports that are kept and not analysed, in the words by which their index is found."""

Index(
    "ix_instances_reports",
    Instance.id,
    sqlite_where=text(REPORTS),
    postgresql_where=text(REPORTS),
)


class AssessmentDocument(Base):
    """A reader's report that was looked at; its file is kept like every object set aside."""

    __tablename__ = "assessment_documents"
    __table_args__ = (UniqueConstraint("instance_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instances.id"))
    looked_at: Mapped[datetime]
    problem: Mapped[str] = mapped_column(FittingText, default="")
    """Why nothing of it is kept; empty if something is."""


class Assessment(Base):
    """What one reader decided of one finding, or what is known to be true of a study."""

    __tablename__ = "assessments"
    # The same report or line again adds nothing.
    __table_args__ = (UniqueConstraint("origin", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    analysis_id: Mapped[int | None] = mapped_column(ForeignKey("analyses.id"))
    """The analysis whose result was assessed; None for what is known without one."""
    origin: Mapped[str] = mapped_column(FittingString(64))
    """SOP Instance UID of the report, or a digest of the line of a table."""
    number: Mapped[int]
    """Place in the report, from 0."""
    decision: Mapped[str] = mapped_column(FittingString(16))
    """``accepted``, ``modified``, ``rejected``, ``positive`` or ``negative``."""
    code: Mapped[str] = mapped_column(FittingString(64), default="")
    scheme: Mapped[str] = mapped_column(FittingString(64), default="")
    meaning: Mapped[str] = mapped_column(FittingString(64), default="")
    tracking_uid: Mapped[str] = mapped_column(FittingString(64), default="", index=True)
    sop_instance_uid: Mapped[str] = mapped_column(FittingString(64), default="")
    laterality: Mapped[str] = mapped_column(FittingString(16), default="")
    finding: Mapped[str] = mapped_column(FittingString(64), default="")
    reader: Mapped[str] = mapped_column(FittingString(64), default="")
    comment: Mapped[str] = mapped_column(FittingText, default="", server_default=text("''"))
    """Of the reader, as written."""
    assessed_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime]


class AccessionDigest(Base):
    """By which accession number a study is found, without the number itself."""

    __tablename__ = "accession_digests"

    study_id: Mapped[int] = mapped_column(
        ForeignKey("studies.id"), primary_key=True, autoincrement=False
    )
    digest: Mapped[str] = mapped_column(FittingString(64), index=True)
    """Keyed digest; empty if no file of the study tells a number."""
