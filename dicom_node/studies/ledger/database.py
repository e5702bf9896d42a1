"""The ledger's database, by default an SQLite file, and its migration to this version."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from dicom_node.errors import LedgerError
from dicom_node.spool.files.private_files import FOLDER_MODE, close_to_others, ensure_private_file
from dicom_node.studies.ledger import assessment_tables, site_tables  # noqa: F401  of the ledger too
from dicom_node.studies.ledger.accounts import account_tables  # noqa: F401
from dicom_node.studies.ledger.identifiers import identifier_table  # noqa: F401
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.monitoring import tables as _monitoring  # noqa: F401  and these
from dicom_node.studies.ledger.procedure_steps import tables as _steps  # noqa: F401  likewise
from dicom_node.studies.ledger.schema import (
    MIGRATIONS,
    SCHEMA,
    TABLE,
    WRITING,
    OtherSchemaError,
    lock_schema,
    name_in_messages,
    require_schema,
    schema_of,
    watch_schema,
)
from dicom_node.studies.ledger.tables import LedgerIdentity

DATABASE_TROUBLE: Final = SQLAlchemyError
"""Errors that callers outside the ledger may catch, such as a lock held too long."""

_LOCK_POLL_SECONDS: Final = 0.02
_BUSY_SECONDS: Final = 30
"""How long a transaction waits for another process that writes to the SQLite file."""

_LIBPQ_DRIVERS: Final = frozenset({"psycopg", "psycopg2"})
_LIBPQ_LIMITS: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    # A server that is cut off says nothing, and TCP alone would wait for a quarter of an hour.
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_STATEMENT_LIMITS: Final = {
    "statement_timeout": 30,
    "lock_timeout": 20,
    "idle_in_transaction_session_timeout": 120,
}
"""Seconds after which the server gives up; a migration has no such limit."""

_READING: Final[dict[str, dict[str, Any]]] = {
    # A reader takes no write lock, so that listing studies delays no worker.
    "sqlite": {"sqlite_begin": "DEFERRED"},
    # All statements of a reader see the ledger at one moment, as in SQLite.
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}
_MIGRATION_LOCK: Final = 0x4D43_4C49
"""A number that no other program's advisory lock in this database should have."""


class Database:
    """Opens sessions on the ledger for one process; to be made after a fork, never before.

    Parameters
    ----------
    url : SQLAlchemy URL

    Raises
    ------
    LedgerError
        The URL is invalid, or its driver is not installed; the message does not show the URL,
        which may hold a password.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._file = _sqlite_file(self.engine)
        watch_schema(self.engine)
        writing = self.engine.execution_options(**WRITING)
        # Rows outlive their transaction: a worker reads its analysis for minutes after the claim.
        self._sessions = sessionmaker(writing, expire_on_commit=False)
        reading = self.engine.execution_options(**_READING.get(self.engine.dialect.name, {}))
        self._reading_sessions = sessionmaker(reading, expire_on_commit=False)

    def migrate(self) -> None:
        """Create the tables, or migrate those of an earlier version.

        Raises
        ------
        OtherSchemaError
            They are of a later version: nothing was changed.
        LedgerError
            The database does not answer.
        """
        if self._file is not None:
            self._file.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            # SQLite gives the files beside it the permissions of the database.
            ensure_private_file(self._file)
            for file in self.files():
                close_to_others(file)
            self._write_ahead()
        with self._migrating() as connection:
            if _schema_if_any(connection) != SCHEMA:
                _refuse_later(connection)
                command.upgrade(_alembic(connection), "head")

    def migrate_back(self, schema: str) -> None:
        """Take the tables back to those of an earlier version, with the rows that it can hold.

        Raises
        ------
        LedgerError
            There is no such version, or the database does not answer; nothing was changed.
        """
        self.require_schema()
        if schema not in _known_schemas():
            raise LedgerError(f"no schema {schema}: this program knows 0001 to {SCHEMA}")
        with self._migrating() as connection:
            _refuse_later(connection)
            command.downgrade(_alembic(connection), schema)

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        with _answering(), self.engine.begin() as connection:
            if self._file is not None:
                yield connection
                return
            with _without_limits(connection):
                # Two nodes that start at once: the second one finds all done.
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                lock_schema(connection)
                yield connection

    def _write_ahead(self) -> None:
        """Let readers see the last commit instead of waiting for the writer; the file keeps it.

        Only a node does this, before it makes the tables: two connections that change the mode at
        once make one of them fail.
        """
        give_up_at = time.monotonic() + _BUSY_SECONDS
        with _answering(), closing(self.engine.raw_connection()) as connection:
            while True:
                try:
                    connection.cursor().execute("PRAGMA journal_mode=WAL")
                except sqlite3.OperationalError as error:
                    # SQLite answers at once that a reader is in the way of this change: its
                    # time-out, which waits for every other lock, does not count here.
                    if time.monotonic() > give_up_at:
                        raise no_answer(error) from error
                    time.sleep(_LOCK_POLL_SECONDS)
                else:
                    return

    def require_schema(self) -> None:
        """Raise an error unless a node of this version has made the tables, or migrated them.

        Raises
        ------
        OtherSchemaError
            They are of another version.
        LedgerError
            The tables do not exist, or the database does not answer.
        """
        if not self.has_tables():
            raise LedgerError(
                "the ledger has no tables yet: start 'mammoclip-node serve' to create them"
            )
        with _answering(), self.reading() as session:
            require_schema(_schema_if_any(session.connection()))

    def has_tables(self) -> bool:
        """Return whether a node has created the tables.

        Raises
        ------
        LedgerError
            The database does not answer.
        """
        # SQLite would create the file, perhaps owned by a user whose files the node cannot write.
        if self._file is not None and not self._file.exists():
            return False
        with _answering():
            return inspect(self.engine).has_table("studies")

    def name_in_messages(self) -> str:
        """Return how messages name this ledger: 32 hexadecimal digits.

        Raises
        ------
        LedgerError
            It has no identity yet, is of another version, or the database does not answer.
        """
        return name_in_messages(self.identity())

    def identity(self) -> str:
        """Return what tells this ledger from every other: 32 hexadecimal digits.

        Raises
        ------
        LedgerError
            It has no identity yet, or the database does not answer.
        """
        self.require_schema()
        with _answering(), self.reading() as session:
            identity = session.scalars(select(LedgerIdentity.identity)).first()
        if identity is None:
            raise LedgerError("the ledger has lost its identity: restore it from a back-up")
        return identity

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that may write; commit it at the end, roll it back on an error."""
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction, which does not wait for writers."""
        with self._reading_sessions() as session:
            yield session

    def now(self) -> datetime:
        """Return the time by the database's clock, which all hosts share."""
        with self.reading() as session:
            return database_time(session)

    def files(self) -> list[Path]:
        """Return the files of an SQLite ledger that are there, its own and those beside it."""
        return [] if self._file is None else sorted(self._file.parent.glob(f"{self._file.name}*"))

    @property
    def has_own_clock(self) -> bool:
        """Whether times come from another clock than this host's."""
        return self.engine.dialect.name != "sqlite"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def no_answer(error: Exception) -> LedgerError:
    """Return the error to raise where the database cannot be reached or read."""
    if isinstance(error, OtherSchemaError):
        return error
    return LedgerError(
        f"the ledger does not answer: {type(error).__name__}. "
        "Check url under [ledger], and that its database is running"
    )


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise no_answer(error) from error


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        # Values stay out of error messages, because these go to the log.
        if parsed.get_backend_name() != "sqlite":
            # A connection that died while idle, as in a restart of the server, is replaced. What
            # a writer reads after it waited for a lock must be what is committed by then, whatever
            # the server's default is.
            server = create_engine(
                parsed,
                connect_args=_time_limits(parsed),
                pool_pre_ping=True,
                hide_parameters=True,
                isolation_level="READ COMMITTED",
            )
            event.listen(server, "connect", _limit_statements)
            if parsed.get_driver_name() == "psycopg":
                event.listen(server, "do_connect", _connect_bounded)
            return server
        engine = create_engine(
            parsed, connect_args={"timeout": _BUSY_SECONDS}, hide_parameters=True
        )
    except (ArgumentError, ImportError) as error:
        raise LedgerError(
            "ledger.url is not an SQLAlchemy URL with an installed driver "
            f"({type(error).__name__}). Example: postgresql+psycopg://node@database/node, "
            "with the driver of pip install '.[postgresql]'"
        ) from error
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _time_limits(url: URL) -> dict[str, Any]:
    """Return how long libpq waits for a server; what the URL says itself counts."""
    if url.get_driver_name() not in _LIBPQ_DRIVERS:
        return {}
    return {name: value for name, value in _LIBPQ_LIMITS.items() if name not in url.query}


def _connect_bounded(_dialect: object, _record: object, values: Any, options: Any) -> Any:
    # Imported here: its library is there only if the ledger is in PostgreSQL.
    from dicom_node.studies.ledger.bounded_postgresql import BoundedConnection

    return BoundedConnection.connect(*values, **options)


@contextmanager
def _without_limits(connection: Connection) -> Iterator[None]:
    """Let statements of this transaction take their time, as those of a large ledger may."""
    for limit in _STATEMENT_LIMITS:
        connection.execute(text(f"SET LOCAL {limit} = 0"))
    driver: Any = connection.connection.driver_connection
    if not hasattr(driver, "longest_wait"):
        yield
        return
    longest, driver.longest_wait = driver.longest_wait, None
    try:
        yield
    finally:
        driver.longest_wait = longest


def _limit_statements(connection: Any, _record: object) -> None:
    # By statement: poolers between here and the server take no options of a connection.
    with closing(connection.cursor()) as cursor:
        for limit, seconds in _STATEMENT_LIMITS.items():
            cursor.execute(f"SET {limit} = '{seconds}s'")
    connection.commit()


def _sqlite_file(engine: Engine) -> Path | None:
    file = engine.url.database
    return Path(file) if engine.dialect.name == "sqlite" and file else None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control would begin too late for the lock that is needed here.
    connection.isolation_level = None
    # With NORMAL a power cut may undo transactions that were already committed.
    connection.execute("PRAGMA synchronous=FULL")
    # SQLite checks them only where each connection asks for it.
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # BEGIN IMMEDIATE waits here for the write lock. A transaction that begins by reading and then
    # writes fails at once, without waiting, where another has written in between.
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _known_schemas() -> frozenset[str]:
    return frozenset(file.stem[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _schema_if_any(connection: Connection) -> str | None:
    has_any = connection.dialect.has_table(connection, TABLE)
    return schema_of(connection) if has_any else None


def _refuse_later(connection: Connection) -> None:
    found = _schema_if_any(connection)
    if found is not None and found > SCHEMA:
        require_schema(found)
