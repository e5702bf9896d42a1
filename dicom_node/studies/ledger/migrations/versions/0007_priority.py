"""Open studies and objects without a study are found by indexes of their own."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"

_INDEXES: Final = (
    ("ix_studies_open", "studies", ["last_received_at", "id"], "state = 'open'"),
    ("ix_instances_strays", "instances", ["received_at"], "study_id IS NULL"),
)


def upgrade() -> None:
    # SQLite would take the index of states, and sort every open study.
    op.drop_index("ix_studies_state", table_name="studies")
    for name, table, columns, where in _INDEXES:
        op.create_index(
            name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table_name=table)
    op.create_index("ix_studies_state", "studies", ["state"])
