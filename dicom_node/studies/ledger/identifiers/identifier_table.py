"""The table of identifiers, the one place of the ledger that says who a patient is."""

from typing import Any, Final

from sqlalchemy import Dialect, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from dicom_node.studies.ledger.column_types import FittingString
from dicom_node.studies.ledger.tables import Base

KEYS: Final = ("accession_key", "patient_id_key", "name_key", "study_date")
"""Columns by which studies are looked for, each with an index."""


class FittingKey(FittingString):
    """Text that is compared byte by byte, so that an index finds what begins with something."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Let PostgreSQL compare bytes, as SQLite does by itself."""
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(String(self.length, collation=collation))


class StudyIdentifiers(Base):
    """What images of one study say of their patient and examination; nearly always one row.

    An image says which row is its own (`Instance.identifiers_id`). A row goes with the last file
    of an image that says so.
    """

    __tablename__ = "study_identifiers"
    __table_args__ = (
        UniqueConstraint("study_id", "digest"),
        *(Index(f"ix_study_identifiers_{key}", key, "study_id") for key in KEYS),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    digest: Mapped[str] = mapped_column(FittingString(64))
    """SHA-256 of the values, by which equal ones are found again."""
    accession_number: Mapped[str] = mapped_column(FittingString(64))
    patient_id: Mapped[str] = mapped_column(FittingString(64))
    patient_name: Mapped[str] = mapped_column(FittingString(255))
    birth_date: Mapped[str] = mapped_column(FittingString(8))
    study_date: Mapped[str] = mapped_column(FittingKey(8))
    accession_key: Mapped[str] = mapped_column(FittingKey(64))
    patient_id_key: Mapped[str] = mapped_column(FittingKey(64))
    name_key: Mapped[str] = mapped_column(FittingKey(255))
