"""Work has a priority, and may be paused; open studies have an index of their own."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_UNTOLD: Final = "state = 'due' AND dispatched_at IS NULL"

_BY_PRIORITY: Final = (
    ("ix_analyses_untold", "analyses", ["due_at", "id"], 0),
    ("ix_analyses_untold_attempts", "analyses", ["attempts", "due_at", "id"], 0),
    ("ix_deliveries_untold", "deliveries", ["destination", "due_at", "id"], 1),
    (
        "ix_deliveries_untold_attempts",
        "deliveries",
        ["destination", "attempts", "due_at", "id"],
        1,
    ),
)
"""Indexes of revision 0004, each with the place that the priority takes among its columns."""

_NEW: Final = (
    ("ix_studies_open", "studies", ["last_received_at", "id"], "state = 'open'"),
    ("ix_instances_strays", "instances", ["received_at"], "study_id IS NULL"),
    (
        "ix_deliveries_delivered",
        "deliveries",
        ["destination", "finished_at"],
        "state = 'delivered'",
    ),
)


def upgrade() -> None:
    for table in ("studies", "analyses", "deliveries"):
        op.add_column(
            table, sa.Column("priority", sa.Integer, nullable=False, server_default=sa.text("1"))
        )
    op.add_column(
        "studies",
        sa.Column("calling_ae_title", sa.String(16), nullable=False, server_default=sa.text("''")),
    )
    op.execute(
        "UPDATE studies SET calling_ae_title = coalesce((SELECT calling_ae_title FROM instances "
        "WHERE study_id = studies.id ORDER BY id LIMIT 1), '')"
    )
    op.create_table(
        "pauses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("paused_by", sa.String(128), nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.UniqueConstraint("kind", "name", name="uq_pauses_kind_name"),
    )
    for name, table, columns, place in _BY_PRIORITY:
        op.drop_index(name, table_name=table)
        _index(name, table, [*columns[:place], "priority", *columns[place:]], _UNTOLD)
    # SQLite would take the index of states, and sort every open study.
    op.drop_index("ix_studies_state", table_name="studies")
    for name, table, columns, where in _NEW:
        _index(name, table, columns, where)


def downgrade() -> None:
    for name, table, _, _ in _NEW:
        op.drop_index(name, table_name=table)
    op.create_index("ix_studies_state", "studies", ["state"])
    for name, table, columns, _ in _BY_PRIORITY:
        op.drop_index(name, table_name=table)
        _index(name, table, columns, _UNTOLD)
    op.drop_table("pauses")
    op.drop_column("studies", "calling_ae_title")
    for table in ("studies", "analyses", "deliveries"):
        op.drop_column(table, "priority")


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
