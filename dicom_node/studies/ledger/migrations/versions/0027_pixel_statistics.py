"""How the images of an answer look: breast area, mean grey and noise, on average."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.add_column(
        "monitor_notes",
        sa.Column("pixels", sa.Text, nullable=False, server_default=sa.text("''")),
    )


def downgrade() -> None:
    op.drop_column("monitor_notes", "pixels")
