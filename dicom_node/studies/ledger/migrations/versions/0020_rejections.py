"""Images that archives have rejected are remembered, also those that never came."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "rejections",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_rejections_study_id"),
    )
    op.create_index("ix_rejections_study_id", "rejections", ["study_id"])
    op.create_index("ix_rejections_sop_instance_uid", "rejections", ["sop_instance_uid"])


def downgrade() -> None:
    op.drop_table("rejections")
