"""Of each canary study the ledger keeps when it was, how it ended, and the scores."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "canary_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("began_at", sa.DateTime, nullable=False),
        sa.Column("seconds", sa.Text, nullable=False),
        sa.Column("broken", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
    )
    op.create_index("ix_canary_runs_key", "canary_runs", ["key"])


def downgrade() -> None:
    op.drop_table("canary_runs")
