"""The ledger's tables (SQLAlchemy); the migrations create them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, MetaData, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dicom_node.studies.ledger.column_types import (
    SIZE,
    FittingString,
    FittingText,
    UtcDateTime,
    stored,
)
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)


def _index_of(where: str, name: str, *columns: str) -> Index:
    """Return an index of some rows; `in_states` asks so that it is found.

    There is none of all states: SQLite, which has no statistics, would take it before those of
    some, and read every image that was ever registered.
    """
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Base(DeclarativeBase):
    """The declarative base; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime}  # noqa: RUF012  SQLAlchemy reads it from the class


class Study(Base):
    """One study of one patient."""

    __tablename__ = "studies"
    # Those that may settle are few beside years of settled ones.
    __table_args__ = (
        _index_of("state = 'open'", "ix_studies_open", "last_received_at", "id"),
        # Those with files, which are few beside years of studies whose files were removed.
        _index_of(
            "state = 'settled' AND removed_at IS NULL",
            "ix_studies_with_files",
            "last_received_at",
            "id",
        ),
        _index_of("remark != ''", "ix_studies_remarked", "last_received_at", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(FittingString(64), unique=True)
    state: Mapped[StudyState] = mapped_column(stored(StudyState))
    version: Mapped[int] = mapped_column(default=0)
    patient_digest: Mapped[str] = mapped_column(FittingString(255))
    """As an earlier release has entered it, for images without a digest of their own."""
    revision: Mapped[int] = mapped_column(default=0)
    """Number of analyses begun for this study."""
    remark: Mapped[str] = mapped_column(FittingText, default="")
    """Reason why nothing is analysed; empty if something is."""
    priority: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """0 off-peak, 1 routine, 2 stat."""
    calling_ae_title: Mapped[str] = mapped_column(
        FittingString(16), default="", server_default=text("''")
    )
    """The sender of its first object."""
    spool_id: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """The spool that got its first object, in which its results lie."""
    first_received_at: Mapped[datetime]
    last_received_at: Mapped[datetime] = mapped_column(index=True)
    removed_at: Mapped[datetime | None]
    """When its files were removed; None while it has any."""
    removed_because: Mapped[str] = mapped_column(FittingText, default="", server_default=text("''"))
    """Why files were removed last; empty if none ever were."""


def _store_indexes(table: str, *columns: str) -> tuple[Index, Index]:
    """Return indexes of what is to be copied to the store, and of what is to be deleted there."""
    wanted, gone = text("stored = 1"), text("stored >= 2 AND place = ''")
    return (
        Index(f"ix_{table}_to_store", *columns, sqlite_where=wanted, postgresql_where=wanted),
        Index(f"ix_{table}_stored_gone", *columns, sqlite_where=gone, postgresql_where=gone),
    )


class Instance(Base):
    """One received object, kept or set aside."""

    __tablename__ = "instances"
    # One kept object for each SOP Instance UID, any number set aside or taken back: the database
    # refuses a second one whatever the code has read before.
    __table_args__ = (
        Index(
            "uq_instances_kept_sop_instance_uid",
            "sop_instance_uid",
            unique=True,
            sqlite_where=text("state IN ('received', 'registered')"),
            postgresql_where=text("state IN ('received', 'registered')"),
        ),
        # What `mammoclip-node studies` lists below the studies.
        _index_of("study_id IS NULL", "ix_instances_strays", "received_at"),
        # What senders were promised, and no archive was seen to hold.
        _index_of(
            "committed_at IS NOT NULL AND archived_at IS NULL", "ix_instances_promised", "id"
        ),
        # Those whose files are between two places.
        _index_of("state = 'received'", "ix_instances_received", "id"),
        _index_of("state = 'taken_back' AND place != ''", "ix_instances_taken_back", "id"),
        _index_of("state = 'replaced' AND place != ''", "ix_instances_replaced", "id"),
        # What is set aside with its file, and what is to be deleted.
        _index_of(
            "state = 'set_aside' AND removed_at IS NULL",
            "ix_instances_set_aside",
            "state",
            "received_at",
            "id",
        ),
        *_store_indexes("instances", "spool_id", "id"),
        _index_of("removed_at IS NOT NULL AND place != ''", "ix_instances_to_delete", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    receipt: Mapped[str] = mapped_column(FittingString(64), unique=True)
    study_id: Mapped[int | None] = mapped_column(ForeignKey("studies.id"), index=True)
    state: Mapped[InstanceState] = mapped_column(stored(InstanceState))
    version: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(FittingString(64), default="")
    """Stable word for why the instance is set aside or took another's place; else empty."""
    detail: Mapped[str] = mapped_column(FittingText, default="")
    spool_id: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """The spool in which its file lies."""
    place: Mapped[str] = mapped_column(FittingString(255))
    """Path in that spool; empty once the file was taken back, removed, or gave way to another."""
    size_bytes: Mapped[int] = mapped_column(SIZE, default=0)
    content_sha256: Mapped[str] = mapped_column(FittingString(64), default="")
    association: Mapped[str] = mapped_column(FittingString(16))
    calling_ae_title: Mapped[str] = mapped_column(FittingString(16), default="")
    received_at: Mapped[datetime]
    sop_instance_uid: Mapped[str] = mapped_column(FittingString(64), default="", index=True)
    sop_class_uid: Mapped[str] = mapped_column(FittingString(64), default="")
    series_instance_uid: Mapped[str] = mapped_column(FittingString(64), default="")
    transfer_syntax_uid: Mapped[str] = mapped_column(FittingString(64), default="")
    laterality: Mapped[str] = mapped_column(FittingString(16), default="")
    view_position: Mapped[str] = mapped_column(FittingString(16), default="")
    presentation_intent: Mapped[str] = mapped_column(FittingString(16), default="")
    acquisition: Mapped[str] = mapped_column(
        FittingString(16), default="", server_default=text("''")
    )
    """``low energy``, ``generated 2D``, or empty."""
    patient_digest: Mapped[str] = mapped_column(
        FittingString(255), default="", server_default=text("''")
    )
    """Digests of the patient's attributes, to recognise images of another patient."""
    # No foreign key: SQLite adds none to a table that is there.
    identifiers_id: Mapped[int | None]
    """What it says of patient and examination (`StudyIdentifiers`); None if that is not kept."""
    left_out_reason: Mapped[str] = mapped_column(FittingText, default="")
    """Why this registered image is not analysed; empty if it is."""
    removed_at: Mapped[datetime | None]
    """When it was decided to remove the file, which is deleted once `place` is empty."""
    committed_at: Mapped[datetime | None]
    """When its sender was told that the node has taken over the responsibility for it."""
    stored: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Whether it is in the store: 0 no, 1 wanted, 2 a copy, 3 there alone (`storing.Stored`)."""
    archived_at: Mapped[datetime | None]
    """When it was found at an archive, which has the responsibility from then on."""


def _due_index(name: str, *columns: str, told: bool) -> Index:
    """Return an index of due work alone: it stays small beside years of finished work."""
    where = f"state = 'due' AND dispatched_at IS {'NOT ' if told else ''}NULL"
    return _index_of(where, name, *columns)


class LeasedWork:
    """What analyses and deliveries share: a version, attempts and a lease."""

    version: Mapped[int] = mapped_column(default=0)
    """Number of transitions so far; a claim is valid as long as it does not change."""
    attempts: Mapped[int] = mapped_column(default=0)
    """Claims that count so far; `mammoclip-node retry` starts again at 0."""
    priority: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """That of the study: 0 off-peak, 1 routine, 2 stat."""
    due_at: Mapped[datetime]
    dispatched_at: Mapped[datetime | None]
    """When the broker last took a message about this work; None if it needs one."""
    lease_holder: Mapped[str] = mapped_column(FittingString(128), default="")
    lease_expires_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(FittingText, default="")
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Analysis(LeasedWork, Base):
    """The analysis of one revision of a study."""

    __tablename__ = "analyses"
    __table_args__ = (
        UniqueConstraint("study_id", "revision"),
        # At most one open analysis for each study: the next revision supersedes it first.
        Index(
            "uq_analyses_open",
            "study_id",
            unique=True,
            sqlite_where=text("state IN ('due', 'running')"),
            postgresql_where=text("state IN ('due', 'running')"),
        ),
        _due_index("ix_analyses_untold", "priority", "due_at", "id", told=False),
        _due_index(
            "ix_analyses_untold_attempts", "priority", "attempts", "due_at", "id", told=False
        ),
        _due_index("ix_analyses_told", "dispatched_at", told=True),
        _index_of("state = 'running'", "ix_analyses_running", "lease_expires_at", "id"),
        _index_of("state = 'failed'", "ix_analyses_failed", "id"),
        _index_of("state = 'cancelled'", "ix_analyses_cancelled", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    revision: Mapped[int]
    state: Mapped[AnalysisState] = mapped_column(stored(AnalysisState))
    findings: Mapped[str | None] = mapped_column(FittingText)
    """The findings document of a done analysis."""
    bundle: Mapped[str] = mapped_column(FittingString(255), default="")
    results_key: Mapped[str] = mapped_column(
        FittingString(64), default="", server_default=text("''")
    )
    """SHA-256 of everything that the result objects were made of; empty if unknown."""
    rule: Mapped[str] = mapped_column(FittingString(64), default="", server_default=text("''"))
    """The rule that took the study; empty if an earlier release began the analysis."""
    route: Mapped[str] = mapped_column(FittingText, default="", server_default=text("''"))
    """What the rule decided (`dicom_node.routing.route`)."""
    result_rules: Mapped[str] = mapped_column(FittingText, default="", server_default=text("''"))
    """The rules on results that added to the answer, by commas."""


class ResultObject(Base):
    """One result object that an analysis made."""

    __tablename__ = "result_objects"
    __table_args__ = (
        UniqueConstraint("analysis_id", "sop_instance_uid"),
        *_store_indexes("result_objects", "id"),
        _index_of(
            "removed_at IS NOT NULL AND place != ''", "ix_result_objects_to_delete", "analysis_id"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analyses.id"), index=True)
    kind: Mapped[str] = mapped_column(FittingString(32))
    variant: Mapped[str] = mapped_column(FittingString(128), default="")
    """Distinguishes forms of the same kind, made for different destinations."""
    sop_class_uid: Mapped[str] = mapped_column(FittingString(64))
    sop_instance_uid: Mapped[str] = mapped_column(FittingString(64), index=True)
    series_instance_uid: Mapped[str] = mapped_column(FittingString(64))
    place: Mapped[str] = mapped_column(FittingString(255))
    sha256: Mapped[str] = mapped_column(FittingString(64), default="", server_default=text("''"))
    """Digest of the file; empty in rows of earlier releases."""
    stored: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Whether it is in the store: 0 no, 1 wanted, 2 a copy, 3 there alone (`storing.Stored`)."""
    removed_at: Mapped[datetime | None]
    """When it was decided to remove the file, which is deleted once `place` is empty."""


class Delivery(LeasedWork, Base):
    """The delivery of one analysis's result objects to one destination."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("analysis_id", "destination"),
        _due_index("ix_deliveries_untold", "destination", "priority", "due_at", "id", told=False),
        _due_index(
            "ix_deliveries_untold_attempts",
            "destination",
            "priority",
            "attempts",
            "due_at",
            "id",
            told=False,
        ),
        _due_index("ix_deliveries_told", "dispatched_at", told=True),
        _due_index("ix_deliveries_told_destination", "destination", told=True),
        _index_of("state = 'sending'", "ix_deliveries_sending", "lease_expires_at", "id"),
        # What each destination is still to get, to be counted or sent elsewhere.
        _index_of(
            "state IN ('due', 'sending', 'held')",
            "ix_deliveries_waiting",
            "destination",
            "id",
            "state",
        ),
        # What a person may have sent again.
        _index_of(
            "state IN ('refused', 'expired', 'held')", "ix_deliveries_stopped", "state", "id"
        ),
        # When a destination last took everything.
        _index_of(
            "state IN ('accepted', 'confirmed', 'committed')",
            "ix_deliveries_taken",
            "destination",
            "finished_at",
        ),
        # What is still to be proven, or asked for again.
        _index_of(
            "proof_due_at IS NOT NULL", "ix_deliveries_to_prove", "destination", "proof_due_at"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analyses.id"), index=True)
    destination: Mapped[str] = mapped_column(FittingString(64))
    profile: Mapped[str] = mapped_column(FittingString(64), default="", server_default=text("''"))
    """What it is sent, where a rule says so; empty: as the settings of the destination say."""
    state: Mapped[DeliveryState] = mapped_column(stored(DeliveryState))
    proof_due_at: Mapped[datetime | None]
    """When the destination is next asked for what it has accepted; None if it is not."""
    proof_attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How often it was asked since it accepted everything."""
    sent_again: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How often objects were sent again because the destination did not hold them."""


class DeliveryOutcome(Base):
    """The last answer of a destination for one result object."""

    __tablename__ = "delivery_outcomes"
    __table_args__ = (UniqueConstraint("delivery_id", "result_object_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"), index=True)
    result_object_id: Mapped[int] = mapped_column(ForeignKey("result_objects.id"))
    outcome: Mapped[str] = mapped_column(FittingString(16))
    status: Mapped[str] = mapped_column(FittingString(255))
    at: Mapped[datetime]


class Transition(Base):
    """One change of state; these rows are the history and are never changed."""

    __tablename__ = "transitions"
    __table_args__ = (Index("ix_transitions_subject", "subject", "subject_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(FittingString(16))
    # No foreign key, since it is the id of a study, an instance, an analysis or a delivery.
    subject_id: Mapped[int]
    event: Mapped[str] = mapped_column(FittingString(16))
    before: Mapped[str] = mapped_column(FittingString(16))
    after: Mapped[str] = mapped_column(FittingString(16))
    reason: Mapped[str] = mapped_column(FittingText, default="")
    at: Mapped[datetime]


class LedgerIdentity(Base):
    """The one row that tells this ledger from every other."""

    __tablename__ = "ledger_identity"

    id: Mapped[int] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(FittingString(32))
    """Random hexadecimal digits of when the tables were made; messages of the node carry them."""
    key_digest: Mapped[str] = mapped_column(
        FittingString(64), default="", server_default=text("''")
    )
    """SHA-256 that every node's ``identity.key`` must have; empty until one has said it."""
    serial_number: Mapped[str] = mapped_column(
        FittingString(16), default="", server_default=text("''")
    )
    """Device Serial Number of results, which follows from that key."""


Living = Study | Instance | Analysis | Delivery
"""Rows that have a state and a version."""


def as_facts(row: Any) -> dict[str, Any]:
    """Return a row's columns as a dictionary, for tables and JSON."""
    return {column.key: getattr(row, column.key) for column in row.__mapper__.columns}
