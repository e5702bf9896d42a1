"""Of each analysis the rule that took its study and what it decided; answers of further bundles."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_COLUMNS = (
    ("analyses", sa.Column("rule", sa.String(64), nullable=False, server_default=sa.text("''"))),
    ("analyses", sa.Column("route", sa.Text, nullable=False, server_default=sa.text("''"))),
    (
        "analyses",
        sa.Column("result_rules", sa.Text, nullable=False, server_default=sa.text("''")),
    ),
    (
        "deliveries",
        sa.Column("profile", sa.String(64), nullable=False, server_default=sa.text("''")),
    ),
)


def upgrade() -> None:
    for table, column in _COLUMNS:
        op.add_column(table, column)
    op.create_table(
        "shadow_analyses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("analysis_id", sa.Integer, nullable=False),
        sa.Column("bundle", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.DateTime, nullable=False),
        sa.Column("dispatched_at", sa.DateTime, nullable=True),
        sa.Column("lease_holder", sa.String(128), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime, nullable=True),
        sa.Column("answered_by", sa.String(255), nullable=False),
        sa.Column("findings", sa.Text, nullable=True),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.id"], name="fk_shadow_analyses_analysis_id_analyses"
        ),
        sa.UniqueConstraint("analysis_id", "bundle", name="uq_shadow_analyses_analysis_id_bundle"),
    )
    where = sa.text("state IN ('due', 'running')")
    op.create_index(
        "ix_shadow_analyses_open",
        "shadow_analyses",
        ["due_at", "id"],
        sqlite_where=where,
        postgresql_where=where,
    )


def downgrade() -> None:
    op.drop_table("shadow_analyses")
    for table, column in _COLUMNS:
        op.drop_column(table, column.name)
