"""How the images of an answer look, on average; and where canary studies end."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.add_column(
        "monitor_notes",
        sa.Column("pixels", sa.Text, nullable=False, server_default=sa.text("''")),
    )
    op.create_table(
        "canary_receivers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("canary_receivers")
    op.drop_column("monitor_notes", "pixels")
