"""An analysis names what its result objects were made of, so that equal ones are not made again."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "analyses",
        sa.Column("results_key", sa.String(64), nullable=False, server_default=sa.text("''")),
    )


def downgrade() -> None:
    op.drop_column("analyses", "results_key")
