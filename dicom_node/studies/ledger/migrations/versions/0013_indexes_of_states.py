"""States are found by indexes of the few rows that matter, without statistics of the tables."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_OF_ALL_STATES: Final = ("instances", "analyses", "deliveries")

_NEW: Final = (
    ("ix_instances_received", "instances", ["id"], "state = 'received'"),
    ("ix_instances_taken_back", "instances", ["id"], "state = 'taken_back' AND place != ''"),
    ("ix_instances_replaced", "instances", ["id"], "state = 'replaced' AND place != ''"),
    ("ix_analyses_running", "analyses", ["lease_expires_at", "id"], "state = 'running'"),
    ("ix_analyses_failed", "analyses", ["id"], "state = 'failed'"),
    ("ix_deliveries_sending", "deliveries", ["lease_expires_at", "id"], "state = 'sending'"),
    (
        "ix_deliveries_waiting",
        "deliveries",
        ["destination", "id", "state"],
        "state IN ('due', 'sending', 'held')",
    ),
    (
        "ix_deliveries_stopped",
        "deliveries",
        ["state", "id"],
        "state IN ('refused', 'expired', 'held')",
    ),
)


def upgrade() -> None:
    for name, table, columns, where in _NEW:
        op.create_index(
            name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )
    # SQLite would take these before the others, and read every delivery that is due, or every
    # image that was ever registered.
    for table in _OF_ALL_STATES:
        op.drop_index(f"ix_{table}_state", table_name=table)


def downgrade() -> None:
    for table in _OF_ALL_STATES:
        op.create_index(f"ix_{table}_state", table, ["state"])
    for name, table, _, _ in _NEW:
        op.drop_index(name, table_name=table)
