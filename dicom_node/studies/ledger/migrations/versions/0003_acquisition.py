"""Images say how they came about: low energy of a contrast study, or computed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "instances",
        sa.Column("acquisition", sa.String(16), nullable=False, server_default=sa.text("''")),
    )


def downgrade() -> None:
    op.drop_column("instances", "acquisition")
