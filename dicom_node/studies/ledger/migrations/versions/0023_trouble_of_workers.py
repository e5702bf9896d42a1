"""Workers say in the ledger why they take nothing, where they know it themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    with op.batch_alter_table("workers") as table:
        table.add_column(sa.Column("trouble", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("workers") as table:
        table.drop_column("trouble")
