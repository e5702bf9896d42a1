"""What is noted of answers to watch the model, what follows from it, and audit anchors."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_WAITING = sa.text("sent_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "audit_anchors",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("spool", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    op.create_index("ix_audit_anchors_spool", "audit_anchors", ["spool"])
    op.create_table(
        "monitor_notes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("analysis_id", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("seconds", sa.Integer, nullable=False),
        sa.Column("sender", sa.String(16), nullable=False),
        sa.Column("manufacturer", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("serial", sa.String(64), nullable=False),
        sa.Column("software", sa.String(255), nullable=False),
        sa.Column("presentation", sa.String(16), nullable=False),
        sa.Column("age_band", sa.String(8), nullable=False),
        sa.Column("implants", sa.Boolean, nullable=False),
        sa.Column("density", sa.String(1), nullable=False),
        sa.Column("bundle", sa.String(255), nullable=False),
        sa.Column("thresholds", sa.String(64), nullable=False),
        sa.Column("threshold_set", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("flagged", sa.Boolean, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("left_out", sa.Integer, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("views", sa.Text, nullable=False),
        sa.Column("embedding", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.id"], name="fk_monitor_notes_analysis_id"
        ),
        sa.UniqueConstraint("analysis_id", name="uq_monitor_notes_analysis_id"),
    )
    op.create_index("ix_monitor_notes_at", "monitor_notes", ["at"])
    op.create_index(
        "ix_monitor_notes_scanner", "monitor_notes", ["manufacturer", "model", "serial", "at"]
    )
    op.create_table(
        "reference_resets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("scanner", sa.String(255), nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("decided_by", sa.String(128), nullable=False),
        sa.Column("decided_at", sa.DateTime, nullable=False),
    )
    op.create_index("ix_reference_resets_scanner", "reference_resets", ["scanner"])
    op.create_table(
        "drift_alarms",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("scanner", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("about", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("noticed_at", sa.DateTime, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.UniqueConstraint(
            "scanner", "kind", "about", "at", name="uq_drift_alarms_scanner_kind_about_at"
        ),
    )
    op.create_table(
        "threshold_sets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("equipment", sa.String(400), nullable=False),
        sa.Column("bundle", sa.String(255), nullable=False),
        sa.Column("thresholds", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("proposed_by", sa.String(128), nullable=False),
        sa.Column("proposed_at", sa.DateTime, nullable=False),
        sa.Column("accepted_by", sa.String(128), nullable=False),
        sa.Column("accepted_at", sa.DateTime),
        sa.Column("withdrawn_by", sa.String(128), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime),
    )
    op.create_index("ix_threshold_sets_equipment", "threshold_sets", ["equipment"])
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("due_at", sa.DateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sent_at", sa.DateTime),
        sa.Column("reason", sa.Text, nullable=False),
        sa.UniqueConstraint("channel", "subject", name="uq_alerts_channel_subject"),
    )
    op.create_index(
        "ix_alerts_waiting",
        "alerts",
        ["due_at"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )


def downgrade() -> None:
    for table in (
        "alerts",
        "threshold_sets",
        "drift_alarms",
        "reference_resets",
        "monitor_notes",
        "audit_anchors",
    ):
        op.drop_table(table)
