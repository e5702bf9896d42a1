"""Which of several nodes sends its canary study."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "canary_turns",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("spool", sa.String(32), nullable=False),
        sa.Column("held_until", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("canary_turns")
