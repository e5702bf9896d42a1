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
from sqlalchemy import delete, text, update
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


WRITTEN = """
SELECT relname, pg_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""
COUNT_FROM_ONE = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) FROM pg_sequences
WHERE last_value IS NOT NULL
"""
LARGE_BYTES = 80_000
"""Below 10 pages the planner takes a table for as large as a new one."""


def emptied(database: Database) -> Database:
    """Remove every row of a ledger in PostgreSQL, and count its ids from 1 again.

    To truncate makes all files of a table anew: for all tables that takes longer than most tests.
    """
    with database.writing() as session:
        sizes = {str(name): int(size) for name, size in session.execute(text(WRITTEN))}
        large = [name for name, size in sizes.items() if size > LARGE_BYTES]
        if large:
            session.execute(text(f"TRUNCATE {', '.join(large)} CASCADE"))
        for table in reversed(Base.metadata.sorted_tables):
            if table.name in sizes and table.name != LedgerIdentity.__tablename__:
                session.execute(delete(table))
        session.execute(update(LedgerIdentity).values(key_digest="", serial_number=""))
        session.execute(text(COUNT_FROM_ONE))
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
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Return the list that log events are put into for the length of a test."""
    with structlog.testing.capture_logs() as lines:
        # A command that the test runs in this process sets up the log, and would end the list.
        monkeypatch.setattr(structlog, "configure", lambda **_: None)
        yield lines
