"""Images that are promised to senders are found soon; a word of former releases is refused.

A worker of a release before 0009 that is still sending while the node is upgraded would end with
a state that no program reads any more. Its transaction fails instead, its lease is lost, and what
it sent is sent again, by a worker that knows the states.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_RETIRED: Final = (("deliveries", "state"), ("delivery_outcomes", "outcome"))
_WORD: Final = "delivered"
_PROMISED: Final = "committed_at IS NOT NULL AND archived_at IS NULL"


def upgrade() -> None:
    where = sa.text(_PROMISED)
    op.create_index(
        "ix_instances_promised", "instances", ["id"], sqlite_where=where, postgresql_where=where
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, column in _RETIRED:
        # What such a worker has written since 0009.
        op.execute(f"UPDATE {table} SET {column} = 'accepted' WHERE {column} = '{_WORD}'")  # noqa: S608
        if is_sqlite:
            # No constraint: SQLite would copy the whole table for it.
            for event in ("INSERT ON", f"UPDATE OF {column} ON"):
                op.execute(
                    f"CREATE TRIGGER {_name(table, event)} BEFORE {event} {table} "
                    f"WHEN NEW.{column} = '{_WORD}' BEGIN "
                    f"SELECT RAISE(ABORT, 'a worker of an earlier version'); END"
                )
        else:
            op.create_check_constraint(_name(table), table, f"{column} <> '{_WORD}'")


def downgrade() -> None:
    op.drop_index("ix_instances_promised", table_name="instances")
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, column in _RETIRED:
        if is_sqlite:
            for event in ("INSERT ON", f"UPDATE OF {column} ON"):
                op.execute(f"DROP TRIGGER {_name(table, event)}")
        else:
            op.drop_constraint(_name(table), table)


def _name(table: str, event: str = "") -> str:
    return f"ck_{table}_retired{'_' + event.partition(' ')[0].lower() if event else ''}"
