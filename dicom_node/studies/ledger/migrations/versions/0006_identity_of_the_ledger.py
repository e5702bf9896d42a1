"""A ledger has an identity, so that no worker looks in another for what a message speaks of."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    table = op.create_table(
        "ledger_identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("identity", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_identity")),
    )
    op.bulk_insert(table, [{"id": 1, "identity": secrets.token_hex(16)}])


def downgrade() -> None:
    op.drop_table("ledger_identity")
