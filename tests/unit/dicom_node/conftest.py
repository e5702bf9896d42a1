"""What the node's tests share: a spool, a migrated ledger, the registrar between them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from node_factory import Reception
from postgresql import PostgreSQL, postgresql
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Base, LedgerIdentity

__all__ = ["postgresql"]


@pytest.fixture(scope="session")
def migrated_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty ledger of the present schema, to be copied: migrating takes its time."""
    file = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    database = Database(f"sqlite:///{file}")
    database.migrate()
    database.close()
    return file


@pytest.fixture(scope="session")
def postgresql_ledger(postgresql: PostgreSQL) -> Iterator[Database]:
    """Return a ledger in PostgreSQL, whose tables a test empties before it writes."""
    database = Database(postgresql.new_database())
    database.migrate()
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_ledger: Path
) -> Iterator[Database]:
    """Return an empty ledger, in SQLite and then in PostgreSQL."""
    if request.param == "postgresql":
        ledger: Database = request.getfixturevalue("postgresql_ledger")
        yield emptied(ledger)
        return
    file = tmp_path / "ledger.sqlite"
    shutil.copy(migrated_ledger, file)
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


def emptied(database: Database) -> Database:
    """Remove every row of a ledger in PostgreSQL, and count its ids from 1 again."""
    emptied = [table.name for table in Base.metadata.sorted_tables]
    emptied.remove(LedgerIdentity.__tablename__)  # as migrating has left it
    tables = ", ".join(emptied)
    with database.writing() as session:
        session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        session.execute(update(LedgerIdentity).values(key_digest="", serial_number=""))
    return database


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """Return a session within one transaction that nobody commits."""
    with suppress(RolledBack), database.writing() as session:
        yield session
        raise RolledBack


class RolledBack(Exception):  # noqa: N818  the end of every test and no error
    """Ends the transaction of a test without its commit."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def reception(spool: Spool, database: Database) -> Reception:
    return Reception(spool, database)


@pytest.fixture
def reception_with(spool: Spool, database: Database) -> Callable[..., Reception]:
    """Return a reception of other settings."""

    def build(**settings: Any) -> Reception:
        return Reception(spool, database, ReceiveSettings(**settings))

    return build


@pytest.fixture
def log_lines() -> Iterator[list[Any]]:
    """Return the list that log events are put into for the length of a test."""
    with structlog.testing.capture_logs() as lines:
        yield lines
