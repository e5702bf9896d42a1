"""Workitems that the node performs, and what others announce of the images of studies."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_OPEN = sa.text("state IN ('claiming', 'held', 'completing', 'canceling')")


def upgrade() -> None:
    op.create_table(
        "workitems",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("workitem_uid", sa.String(64), nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("spool_id", sa.Integer, nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("patient_digest", sa.String(255), nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("analysis_revision", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("discontinuation", sa.String(16), nullable=False),
        sa.Column("cancel_asked", sa.Boolean, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("told_at", sa.DateTime),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.Column("claimed_at", sa.DateTime),
        sa.Column("due_at", sa.DateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.UniqueConstraint("workitem_uid", name="uq_workitems_workitem_uid"),
    )
    op.create_index("ix_workitems_study_instance_uid", "workitems", ["study_instance_uid"])
    op.create_index(
        "ix_workitems_open", "workitems", ["id"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_table(
        "announced_studies",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("announced_by", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("calling_ae_title", sa.String(16), nullable=False),
        sa.Column("images", sa.Text, nullable=False),
        sa.Column("patient_digest", sa.String(255), nullable=False),
        sa.Column("remark", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint(
            "announced_by",
            "study_instance_uid",
            name="uq_announced_studies_announced_by_study_instance_uid",
        ),
    )
    op.create_index(
        "ix_announced_studies_study_instance_uid", "announced_studies", ["study_instance_uid"]
    )


def downgrade() -> None:
    op.drop_table("announced_studies")
    op.drop_table("workitems")
