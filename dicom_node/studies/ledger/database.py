"""The ledger's database: SQLite by default, any SQLAlchemy URL, always migrated to this schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

from dicom_node.errors import LedgerError

_BUSY_SECONDS = 30


class Database:
    """Sessions on the ledger of one process; open it after a fork, never before.

    Parameters
    ----------
    url : SQLAlchemy URL
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.engine = _engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        reading = self.engine.execution_options(sqlite_begin="DEFERRED")
        self._reading_sessions = sessionmaker(reading, expire_on_commit=False)

    def migrate(self) -> None:
        """Bring the schema to this version, from nothing or from any earlier version."""
        with self.engine.begin() as connection:
            command.upgrade(_alembic(connection), "head")

    def require_schema(self) -> None:
        """Refuse to work before a node has made the tables.

        Raises
        ------
        LedgerError
            The tables are not there.
        """
        if not inspect(self.engine).has_table("studies"):
            raise LedgerError("the ledger has no tables yet: start 'mammoclip-node serve' first")

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that may write; committed at the end, rolled back on an error."""
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that only reads, beside any writer."""
        with self._reading_sessions() as session:
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control would begin too late for the lock that is needed here.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer in mid-transaction fails at once where another one writes.
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
