"""The ledger knows which node process works on a spool, so that none works on a copy of it."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column(
        "spools", sa.Column("holder", sa.String(32), nullable=False, server_default=sa.text("''"))
    )
    op.add_column("spools", sa.Column("held_until", sa.DateTime))


def downgrade() -> None:
    for name in ("held_until", "holder"):
        op.drop_column("spools", name)
