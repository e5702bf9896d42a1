"""Tables beside studies: spools, pauses, workers, destinations, canary, shadow, rejections."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dicom_node.studies.ledger.column_types import FittingString, FittingText
from dicom_node.studies.ledger.tables import Base


class Pause(Base):
    """Something that an operator has paused."""

    __tablename__ = "pauses"
    __table_args__ = (UniqueConstraint("kind", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(FittingString(16))
    name: Mapped[str] = mapped_column(FittingString(64), default="")
    reason: Mapped[str] = mapped_column(FittingText, default="")
    paused_by: Mapped[str] = mapped_column(FittingString(128))
    since: Mapped[datetime]


class KnownSpool(Base):
    """The spool of one node before this ledger; its files are touched by that node alone."""

    __tablename__ = "spools"
    __table_args__ = (UniqueConstraint("identity"),)

    # Given and not counted by the database: the first one is 1, which rows of earlier releases say.
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(FittingString(32))
    """As the file ``spool.id`` in it says; ``?`` for one that no node has come with since."""
    name: Mapped[str] = mapped_column(FittingString(255))
    """Host and folder, for people."""
    coming: Mapped[str] = mapped_column(FittingText, default="")
    """JSON of what its node receives just now; empty while it is the only node."""
    told_at: Mapped[datetime | None]
    """When its node has last said so, by the database's clock."""
    holder: Mapped[str] = mapped_column(FittingString(32), default="", server_default=text("''"))
    """The node process that works on it: random digits that this process alone knows."""
    held_until: Mapped[datetime | None]
    """Until when no other may, by the database's clock; None once that process has ended."""


class KnownWorker(Base):
    """One start of a worker, as it says itself from time to time."""

    __tablename__ = "workers"
    __table_args__ = (UniqueConstraint("identity"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(FittingString(32))
    name: Mapped[str] = mapped_column(FittingString(255))
    queues: Mapped[str] = mapped_column(FittingText)
    """Names, separated by commas."""
    processes: Mapped[int]
    version: Mapped[str] = mapped_column(FittingString(64))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """When it said that it ends; None if it never did."""
    trouble: Mapped[str] = mapped_column(FittingText, default="", server_default=text("''"))
    """Why it takes nothing, in words; empty if it knows of nothing."""


class DestinationState(Base):
    """What is known of a destination that has failed; one that never did has no row."""

    __tablename__ = "destination_states"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(FittingString(64))
    circuit: Mapped[str] = mapped_column(FittingString(16))
    """``closed``, ``open`` or ``half_open``."""
    failures: Mapped[int] = mapped_column(default=0)
    """Deliveries in a row of which it has taken nothing."""
    reason: Mapped[str] = mapped_column(FittingText, default="")
    """Of its last failure; empty if it has taken something since."""
    failing_since: Mapped[datetime | None]
    """When the first of these failures was; None if it has taken something since."""
    since: Mapped[datetime]
    """When the circuit was opened or closed."""
    probes: Mapped[int] = mapped_column(default=0)
    """Probes, and single deliveries after them, that failed since the circuit was opened."""
    probe_at: Mapped[datetime]
    """When it may be probed next."""
    prober: Mapped[str] = mapped_column(FittingString(128), default="")
    """Who probes it now; empty if nobody does."""
    probe_expires_at: Mapped[datetime | None]


class CanaryRun(Base):
    """One canary study, and how it went."""

    __tablename__ = "canary_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    began_at: Mapped[datetime]
    seconds: Mapped[str] = mapped_column(FittingText)
    """How long each phase took, as JSON."""
    broken: Mapped[str] = mapped_column(FittingString(16), default="")
    """The phase that did not end as it should; empty if all did."""
    reason: Mapped[str] = mapped_column(FittingText, default="")
    key: Mapped[str] = mapped_column(FittingString(64), default="", index=True)
    """Digest of bundle, engine and their settings."""
    scores: Mapped[str] = mapped_column(FittingText, default="")


class CanaryReceiver(Base):
    """Where a node takes the results of the canary study that is on its way, or was last."""

    __tablename__ = "canary_receivers"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(FittingString(255))
    port: Mapped[int]


class CanaryTurn(Base):
    """The node whose canary study is on its way, in a single row."""

    __tablename__ = "canary_turns"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    spool: Mapped[str] = mapped_column(FittingString(32))
    """Identity of its spool."""
    held_until: Mapped[datetime]


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


class Commitment(Base):
    """A sender's request that the node commit to keep what it has sent (PS3.4 J)."""

    __tablename__ = "commitments"
    __table_args__ = (
        UniqueConstraint("calling_ae_title", "transaction_uid"),
        Index(
            "ix_commitments_to_report",
            "due_at",
            sqlite_where=text("reported_at IS NULL"),
            postgresql_where=text("reported_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(FittingString(64))
    calling_ae_title: Mapped[str] = mapped_column(FittingString(16))
    called_ae_title: Mapped[str] = mapped_column(FittingString(16))
    requested_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    reported_at: Mapped[datetime | None]
    """When the sender took the report, or it was given up."""
    reason: Mapped[str] = mapped_column(FittingText, default="")


class CommitmentItem(Base):
    """One SOP Instance of a request, and what was answered for it."""

    __tablename__ = "commitment_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    commitment_id: Mapped[int] = mapped_column(ForeignKey("commitments.id"), index=True)
    sop_class_uid: Mapped[str] = mapped_column(FittingString(64))
    sop_instance_uid: Mapped[str] = mapped_column(FittingString(64))
    failure_reason: Mapped[int | None]
    """(0008,1197); None if it is committed."""


class ShadowAnalysis(Base):
    """What a further bundle says of the images of one analysis; no object is ever made of it.

    A table of its own, so that nothing that reads analyses takes one for an answer that is sent.
    """

    __tablename__ = "shadow_analyses"
    __table_args__ = (
        UniqueConstraint("analysis_id", "bundle"),
        Index(
            "ix_shadow_analyses_open",
            "due_at",
            "id",
            sqlite_where=text("state IN ('due', 'running')"),
            postgresql_where=text("state IN ('due', 'running')"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analyses.id"))
    bundle: Mapped[str] = mapped_column(FittingString(64))
    """Its name in the settings."""
    state: Mapped[str] = mapped_column(FittingString(16))
    """``due``, ``running``, ``done`` or ``failed``."""
    version: Mapped[int] = mapped_column(default=0)
    """Number of changes of state so far; a claim is valid as long as it does not change."""
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    dispatched_at: Mapped[datetime | None]
    """When the broker last took a message about it; None if it needs one."""
    lease_holder: Mapped[str] = mapped_column(FittingString(128), default="")
    lease_expires_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(FittingText, default="")
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    answered_by: Mapped[str] = mapped_column(FittingString(255), default="")
    """Name, version and digest of the bundle that answered."""
    findings: Mapped[str | None] = mapped_column(FittingText)
    """The findings document of an answer."""


class Rejection(Base):
    """An object of a study that a rejection note names, received or not."""

    __tablename__ = "rejections"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(FittingString(64), index=True)
    code: Mapped[str] = mapped_column(FittingString(16))
    """Title of the note (PS3.16 CID 7010)."""
    at: Mapped[datetime]
