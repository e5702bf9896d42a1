"""Objects taken back have a state of their own, and sizes 64 bits."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_INDEX = "uq_instances_kept_sop_instance_uid"


def upgrade() -> None:
    # The index does not count what was taken back: it goes before the rows change their state.
    _index_of_kept("state IN ('received', 'registered')")
    op.execute("UPDATE instances SET state = 'taken_back' WHERE state = 'set_aside' AND place = ''")
    if op.get_context().dialect.name == "postgresql":  # SQLite's integers have 64 bits already
        op.alter_column("instances", "size_bytes", type_=sa.BigInteger())


def downgrade() -> None:
    op.execute("UPDATE instances SET state = 'set_aside' WHERE state = 'taken_back'")
    _index_of_kept("state != 'set_aside'")
    if op.get_context().dialect.name == "postgresql":
        op.alter_column(
            "instances",
            "size_bytes",
            type_=sa.Integer(),
            postgresql_using="LEAST(size_bytes, 2147483647)",
        )


def _index_of_kept(where: str) -> None:
    op.drop_index(_INDEX, table_name="instances")
    op.create_index(
        _INDEX,
        "instances",
        ["sop_instance_uid"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
