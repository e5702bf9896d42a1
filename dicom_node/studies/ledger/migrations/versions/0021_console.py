"""An index of what people look for studies by, and the accounts of the console."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_KEYS = ("accession_key", "patient_id_key", "name_key", "study_date")


def _key(length: int) -> sa.types.TypeEngine[str]:
    # Byte by byte, so that an index finds what begins with something.
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "study_identifiers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "study_id",
            sa.Integer,
            sa.ForeignKey("studies.id", name="fk_study_identifiers_study_id_studies"),
            nullable=False,
        ),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("accession_number", sa.String(64), nullable=False),
        sa.Column("patient_id", sa.String(64), nullable=False),
        sa.Column("patient_name", sa.String(255), nullable=False),
        sa.Column("birth_date", sa.String(8), nullable=False),
        sa.Column("study_date", _key(8), nullable=False),
        sa.Column("accession_key", _key(64), nullable=False),
        sa.Column("patient_id_key", _key(64), nullable=False),
        sa.Column("name_key", _key(255), nullable=False),
        sa.UniqueConstraint("study_id", "digest", name="uq_study_identifiers_study_id_digest"),
    )
    for key in _KEYS:
        op.create_index(f"ix_study_identifiers_{key}", "study_identifiers", [key, "study_id"])
    op.add_column("instances", sa.Column("identifiers_id", sa.Integer))
    remarked, cancelled = sa.text("remark != ''"), sa.text("state = 'cancelled'")
    op.create_index(
        "ix_studies_remarked",
        "studies",
        ["last_received_at", "id"],
        sqlite_where=remarked,
        postgresql_where=remarked,
    )
    op.create_index(
        "ix_analyses_cancelled",
        "analyses",
        ["id"],
        sqlite_where=cancelled,
        postgresql_where=cancelled,
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "account_id",
            sa.Integer,
            sa.ForeignKey(
                "accounts.id", name="fk_sign_ins_account_id_accounts", ondelete="CASCADE"
            ),
            nullable=False,
        ),
        sa.Column("secret_digest", sa.String(64), nullable=False),
        sa.Column("began_at", sa.DateTime, nullable=False),
        sa.Column("used_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("secret_digest", name="uq_sign_ins_secret_digest"),
    )
    op.create_index("ix_sign_ins_account_id", "sign_ins", ["account_id"])
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("secret_digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("expires_at", sa.DateTime),
        sa.UniqueConstraint("name", name="uq_api_tokens_name"),
        sa.UniqueConstraint("secret_digest", name="uq_api_tokens_secret_digest"),
    )


def downgrade() -> None:
    for table in ("api_tokens", "sign_ins", "accounts"):
        op.drop_table(table)
    op.drop_index("ix_analyses_cancelled", "analyses")
    op.drop_index("ix_studies_remarked", "studies")
    op.drop_table("study_identifiers")
    op.drop_column("instances", "identifiers_id")
