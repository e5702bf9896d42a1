"""What readers say of results, what turned out to be true, and studies by accession number."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_REPORTS = (
    "state = 'set_aside' AND removed_at IS NULL AND sop_class_uid IN ("
    "'1.2.840.10008.5.1.4.1.1.88.11', '1.2.840.10008.5.1.4.1.1.88.22', "
    "'1.2.840.10008.5.1.4.1.1.88.33', '1.2.840.10008.5.1.4.1.1.88.34', "
    "'1.2.840.10008.5.1.4.1.1.88.35')"
)


def upgrade() -> None:
    op.create_table(
        "assessment_documents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("instance_id", sa.Integer, nullable=False),
        sa.Column("looked_at", sa.DateTime, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name="fk_assessment_documents_instance_id_instances"
        ),
        sa.UniqueConstraint("instance_id", name="uq_assessment_documents_instance_id"),
    )
    op.create_table(
        "assessments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("analysis_id", sa.Integer, nullable=True),
        sa.Column("origin", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("scheme", sa.String(64), nullable=False),
        sa.Column("meaning", sa.String(64), nullable=False),
        sa.Column("tracking_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("laterality", sa.String(16), nullable=False),
        sa.Column("finding", sa.String(64), nullable=False),
        sa.Column("reader", sa.String(64), nullable=False),
        sa.Column("assessed_at", sa.DateTime, nullable=True),
        sa.Column("recorded_at", sa.DateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_assessments_study_id_studies"
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.id"], name="fk_assessments_analysis_id_analyses"
        ),
        sa.UniqueConstraint("origin", "number", name="uq_assessments_origin_number"),
    )
    op.create_index("ix_assessments_study_id", "assessments", ["study_id"])
    op.create_index("ix_assessments_tracking_uid", "assessments", ["tracking_uid"])
    op.create_table(
        "accession_digests",
        sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_accession_digests_study_id_studies"
        ),
    )
    op.create_index("ix_accession_digests_digest", "accession_digests", ["digest"])
    op.create_index(
        "ix_instances_reports",
        "instances",
        ["id"],
        sqlite_where=sa.text(_REPORTS),
        postgresql_where=sa.text(_REPORTS),
    )


def downgrade() -> None:
    op.drop_index("ix_instances_reports", "instances")
    op.drop_table("accession_digests")
    op.drop_table("assessments")
    op.drop_table("assessment_documents")
