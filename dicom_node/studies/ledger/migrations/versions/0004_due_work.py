"""Due work is found by indexes of its own, however much of it there is."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_UNTOLD: Final = "state = 'due' AND dispatched_at IS NULL"
_TOLD: Final = "state = 'due' AND dispatched_at IS NOT NULL"

_INDEXES: Final = (
    ("ix_analyses_untold", "analyses", ["due_at", "id"], _UNTOLD),
    ("ix_analyses_untold_attempts", "analyses", ["attempts", "due_at", "id"], _UNTOLD),
    ("ix_analyses_told", "analyses", ["dispatched_at"], _TOLD),
    ("ix_deliveries_untold", "deliveries", ["destination", "due_at", "id"], _UNTOLD),
    (
        "ix_deliveries_untold_attempts",
        "deliveries",
        ["destination", "attempts", "due_at", "id"],
        _UNTOLD,
    ),
    ("ix_deliveries_told", "deliveries", ["dispatched_at"], _TOLD),
    ("ix_deliveries_told_destination", "deliveries", ["destination"], _TOLD),
)


def upgrade() -> None:
    for name, table, columns, where in _INDEXES:
        op.create_index(
            name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table_name=table)
