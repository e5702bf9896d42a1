"""Alembic's entry: runs the migrations on the connection that `Database.migrate` hands over."""

from alembic import context

from dicom_node.studies.ledger.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a column or constraint: Alembic makes the table anew and copies it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
