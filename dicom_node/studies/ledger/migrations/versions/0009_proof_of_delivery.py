"""A delivery is accepted, confirmed or committed, and a destination is asked for its proof."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_TAKEN: Final = "state IN ('accepted', 'confirmed', 'committed')"


def upgrade() -> None:
    op.drop_index("ix_deliveries_delivered", table_name="deliveries")
    op.add_column("deliveries", sa.Column("proof_due_at", sa.DateTime))
    for name in ("proof_attempts", "sent_again"):
        op.add_column(
            "deliveries", sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0"))
        )
    op.execute("UPDATE deliveries SET state = 'accepted' WHERE state = 'delivered'")
    op.execute("UPDATE delivery_outcomes SET outcome = 'accepted' WHERE outcome = 'delivered'")
    _index("ix_deliveries_taken", ["destination", "finished_at"], _TAKEN)
    _index("ix_deliveries_to_prove", ["destination", "proof_due_at"], "proof_due_at IS NOT NULL")
    op.create_table(
        "commitment_requests",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("delivery_id", sa.Integer, nullable=False),
        sa.Column("objects", sa.Text, nullable=False),
        sa.Column("asked_at", sa.DateTime, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("ending", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_commitment_requests_delivery_id_deliveries"
        ),
        sa.UniqueConstraint("transaction_uid", name="uq_commitment_requests_transaction_uid"),
    )
    op.create_index("ix_commitment_requests_delivery_id", "commitment_requests", ["delivery_id"])


def downgrade() -> None:
    op.drop_table("commitment_requests")
    for name in ("ix_deliveries_to_prove", "ix_deliveries_taken"):
        op.drop_index(name, table_name="deliveries")
    op.execute(
        "UPDATE deliveries SET state = 'delivered' "
        "WHERE state IN ('accepted', 'confirmed', 'committed')"
    )
    # What a person holds is sent by the former version, which knows no such state.
    op.execute("UPDATE deliveries SET state = 'due', dispatched_at = NULL WHERE state = 'held'")
    op.execute(
        "UPDATE delivery_outcomes SET outcome = 'delivered' "
        "WHERE outcome IN ('accepted', 'confirmed', 'committed')"
    )
    op.execute("UPDATE delivery_outcomes SET outcome = 'postponed' WHERE outcome = 'missing'")
    for name in ("sent_again", "proof_attempts", "proof_due_at"):
        op.drop_column("deliveries", name)
    _index("ix_deliveries_delivered", ["destination", "finished_at"], "state = 'delivered'")


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, "deliveries", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
