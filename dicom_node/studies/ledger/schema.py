"""Which schema this program knows, and whether the ledger has it: older and newer do not mix.

Names that are given in the tables change their meaning from release to release. A program that
writes to a ledger of another release could lose a study without any error, so it does not write.
"""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from dicom_node.errors import LedgerError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
SCHEMA: Final = max(file.stem[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
"""The schema that this program writes: number of its last migration, four digits."""

TABLE: Final = "alembic_version"
_QUESTION: Final = f"SELECT version_num FROM {TABLE}"  # noqa: S608  no value in it

_WRITES: Final = "writes_to_the_ledger"
WRITING: Final[dict[str, Any]] = {_WRITES: True}
"""Execution options of connections that may write only to a ledger of this schema."""


class OtherSchemaError(LedgerError, SQLAlchemyError):
    """The ledger has the schema of another release: nothing was read, and nothing is written.

    One of the errors of a database that callers outside the ledger may catch.
    """

    reason = "other-schema"


def require_schema(found: str | None) -> None:
    """Raise an error unless this is the schema that this program knows.

    Parameters
    ----------
    found : what the ledger has; None if it says nothing

    Raises
    ------
    OtherSchemaError
        It is older or newer; the message says what to do.
    """
    if found == SCHEMA:
        return
    if found is not None and found > SCHEMA:
        raise OtherSchemaError(
            f"the ledger has schema {found}, and this program knows {SCHEMA}: it is older than the "
            "node that made the ledger, and writes nothing. Install the node's version here too, "
            "and start it again (docs/upgrading.md)"
        )
    raise OtherSchemaError(
        f"the ledger has schema {found or 'unknown'}, and this program knows {SCHEMA}: it is newer "
        "than the node, and writes nothing. Run this version's 'mammoclip-node serve', which "
        "migrates the ledger (docs/upgrading.md)"
    )


def schema_of(connection: Connection) -> str | None:
    """Return the schema that the ledger has, by its last migration."""
    return connection.exec_driver_sql(_QUESTION).scalar()


def watch_schema(engine: Engine) -> None:
    """Compare the schema at the beginning of each transaction that may write.

    The node may migrate the ledger while an older worker is busy. In SQLite a transaction that
    writes has the write lock by then; in PostgreSQL this look takes a lock that a migration waits
    for (`lock_schema`). So nothing changes between the look and the commit.
    """
    event.listen(engine, "begin", _look)


def lock_schema(connection: Connection) -> None:
    """Wait until no transaction writes, and let none begin until this one ends (PostgreSQL)."""
    if connection.dialect.has_table(connection, TABLE):
        connection.exec_driver_sql(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")


def name_in_messages(identity: str) -> str:
    """Return how messages name a ledger: 32 hexadecimal digits, and not its identity.

    Workers of releases before schema 0009 know no other states of a delivery than theirs, and
    compare no schemas. They take this for the name of another node's ledger, put the message back
    and say so.
    """
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _look(connection: Connection) -> None:
    if not connection.get_execution_options().get(_WRITES):
        return
    # By the driver: this is no statement of whoever begins the transaction.
    driver: Any = connection.connection
    try:
        with closing(driver.cursor()) as cursor:
            cursor.execute(_QUESTION)
            row = cursor.fetchone()
    except Exception as error:
        raise OperationalError(_QUESTION, None, error) from error
    require_schema(None if row is None else row[0])
