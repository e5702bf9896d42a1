"""The ledger knows the spools of several nodes, and of each file in which of them it lies."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_STORE: Final = {"instances": ["spool_id", "id"], "result_objects": ["id"]}
_CONDITIONS: Final = {"to_store": "stored = 1", "stored_gone": "stored >= 2 AND place = ''"}


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
    op.add_column(
        "result_objects",
        sa.Column("sha256", sa.String(64), nullable=False, server_default=sa.text("''")),
    )
    for table, columns in _STORE.items():
        op.add_column(
            table, sa.Column("stored", sa.Integer, nullable=False, server_default=sa.text("0"))
        )
        for name, condition in _CONDITIONS.items():
            op.create_index(
                f"ix_{table}_{name}",
                table,
                columns,
                sqlite_where=sa.text(condition),
                postgresql_where=sa.text(condition),
            )
    for name, length in (("key_digest", 64), ("serial_number", 16)):
        op.add_column(
            "ledger_identity",
            sa.Column(name, sa.String(length), nullable=False, server_default=sa.text("''")),
        )


def downgrade() -> None:
    for table in _STORE:
        for name in _CONDITIONS:
            op.drop_index(f"ix_{table}_{name}", table)
        op.drop_column(table, "stored")
    op.drop_column("result_objects", "sha256")
    for name in ("key_digest", "serial_number"):
        op.drop_column("ledger_identity", name)
    for table in ("studies", "instances"):
        op.drop_column(table, "spool_id")
    op.drop_table("spools")
