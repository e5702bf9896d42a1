"""Files are removed after their time, unless the node has committed to keep them for a sender."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_INDEXES: Final = (
    ("ix_commitments_to_report", "commitments", ["due_at"], "reported_at IS NULL"),
    (
        "ix_studies_with_files",
        "studies",
        ["last_received_at", "id"],
        "state = 'settled' AND removed_at IS NULL",
    ),
    (
        "ix_instances_set_aside",
        "instances",
        ["state", "received_at", "id"],
        "state = 'set_aside' AND removed_at IS NULL",
    ),
    ("ix_instances_to_delete", "instances", ["id"], "removed_at IS NOT NULL AND place != ''"),
    (
        "ix_result_objects_to_delete",
        "result_objects",
        ["analysis_id"],
        "removed_at IS NOT NULL AND place != ''",
    ),
)


def upgrade() -> None:
    for table in ("studies", "instances", "result_objects"):
        op.add_column(table, sa.Column("removed_at", sa.DateTime, nullable=True))
    for column in ("committed_at", "archived_at"):
        op.add_column("instances", sa.Column(column, sa.DateTime, nullable=True))
    _commitments()
    op.add_column(
        "studies",
        sa.Column("removed_because", sa.Text, nullable=False, server_default=sa.text("''")),
    )
    # What a step back has turned into something that the former release knows.
    op.execute(
        "UPDATE instances SET state = 'removed', reason = '', removed_at = received_at "
        "WHERE state = 'replaced' AND reason = 'removed'"
    )
    op.execute("UPDATE studies SET state = 'erased' WHERE study_instance_uid LIKE 'erased %'")
    for name, table, columns, where in _INDEXES:
        op.create_index(
            name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )


def _commitments() -> None:
    op.create_table(
        "commitments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("calling_ae_title", sa.String(16), nullable=False),
        sa.Column("called_ae_title", sa.String(16), nullable=False),
        sa.Column("requested_at", sa.DateTime, nullable=False),
        sa.Column("due_at", sa.DateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("reported_at", sa.DateTime, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.UniqueConstraint(
            "calling_ae_title",
            "transaction_uid",
            name="uq_commitments_calling_ae_title_transaction_uid",
        ),
    )
    op.create_table(
        "commitment_items",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("commitment_id", sa.Integer, nullable=False, index=True),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("failure_reason", sa.Integer, nullable=True),
        sa.ForeignKeyConstraint(
            ["commitment_id"],
            ["commitments.id"],
            name="fk_commitment_items_commitment_id_commitments",
        ),
    )


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table_name=table)
    # The former release deletes what is left of the files of replaced instances, and shows them.
    op.execute(
        "UPDATE instances SET state = 'replaced', reason = 'removed' WHERE state = 'removed'"
    )
    op.execute("UPDATE studies SET state = 'settled' WHERE state = 'erased'")
    op.drop_table("commitment_items")
    op.drop_table("commitments")
    for column in ("committed_at", "archived_at"):
        op.drop_column("instances", column)
    op.drop_column("studies", "removed_because")
    for table in ("studies", "instances", "result_objects"):
        op.drop_column(table, "removed_at")
