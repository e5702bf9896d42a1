"""Each image says whose it is, since the patient of a study may be corrected image by image."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "instances",
        sa.Column("patient_digest", sa.String(255), nullable=False, server_default=sa.text("''")),
    )


def downgrade() -> None:
    op.drop_column("instances", "patient_digest")
