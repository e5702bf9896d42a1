"""Of a destination that fails the ledger knows since when, why, and when it is probed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "destination_states",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("circuit", sa.String(16), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("failing_since", sa.DateTime),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.Column("probes", sa.Integer, nullable=False),
        sa.Column("probe_at", sa.DateTime, nullable=False),
        sa.Column("prober", sa.String(128), nullable=False),
        sa.Column("probe_expires_at", sa.DateTime),
        sa.UniqueConstraint("name", name="uq_destination_states_name"),
    )


def downgrade() -> None:
    # What waits behind an open circuit is due, and an earlier version sends it as any other. It
    # knows no held deliveries: those keep their reason, and 'retry' sends them.
    op.execute("UPDATE deliveries SET state = 'expired' WHERE state = 'held'")
    op.drop_table("destination_states")
