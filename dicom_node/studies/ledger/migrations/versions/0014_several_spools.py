"""The ledger knows the spools of several nodes, and of each file in which of them it lies."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "spools",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("identity", sa.String(32), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("coming", sa.Text, nullable=False),
        sa.Column("told_at", sa.DateTime),
        sa.UniqueConstraint("identity", name="uq_spools_identity"),
    )
    # What is there lies in the first spool, as does what an earlier release enters.
    for table in ("studies", "instances"):
        op.add_column(
            table, sa.Column("spool_id", sa.Integer, nullable=False, server_default=sa.text("1"))
        )
    for name, length in (("key_digest", 64), ("serial_number", 16)):
        op.add_column(
            "ledger_identity",
            sa.Column(name, sa.String(length), nullable=False, server_default=sa.text("''")),
        )


def downgrade() -> None:
    for name in ("key_digest", "serial_number"):
        op.drop_column("ledger_identity", name)
    for table in ("studies", "instances"):
        op.drop_column(table, "spool_id")
    op.drop_table("spools")
