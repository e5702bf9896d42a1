"""People sign in by the site's provider of identities: whose account is whose there."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "provider_identities",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "account_id",
            sa.Integer,
            sa.ForeignKey(
                "accounts.id",
                name="fk_provider_identities_account_id_accounts",
                ondelete="CASCADE",
            ),
            nullable=False,
        ),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.UniqueConstraint("account_id", name="uq_provider_identities_account_id"),
        sa.UniqueConstraint("issuer", "subject", name="uq_provider_identities_issuer_subject"),
    )


def downgrade() -> None:
    op.drop_table("provider_identities")
