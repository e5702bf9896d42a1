"""A ledger in PostgreSQL that does not answer, or holds a lock, is waited for briefly."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from postgresql import PostgreSQL
from sqlalchemy import text

from dicom_node.errors import LedgerError
from dicom_node.studies.ledger import database as database_module
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database

# An exchange without an end waits for longer than this.
pytestmark = pytest.mark.timeout(60)


@contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections and never say a word."""
    accepted: list[socket.socket] = []

    def accept(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                accepted.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in accepted:
                connection.close()


@pytest.fixture
def ledger(postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Return a ledger whose statements may take a second."""
    limits = {"statement_timeout": 1, "lock_timeout": 1, "idle_in_transaction_session_timeout": 2}
    monkeypatch.setattr(database_module, "_STATEMENT_LIMITS", limits)
    with closing(Database(postgresql.new_database())) as database:
        database.migrate()
        yield database


def test_server_that_never_answers_a_connection_is_waited_for_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(database_module._LIBPQ_LIMITS, "connect_timeout", 2)
    with (
        silent_server() as port,
        closing(Database(f"postgresql+psycopg://node@127.0.0.1:{port}/node")) as database,
        pytest.raises(LedgerError, match="does not answer"),
    ):
        database.require_schema()


def test_statement_that_takes_too_long_is_ended_by_the_server(ledger: Database) -> None:
    with pytest.raises(DATABASE_TROUBLE, match="timeout"), ledger.reading() as session:
        session.execute(text("SELECT pg_sleep(50)"))


def test_lock_that_another_holds_for_too_long_is_not_waited_for(ledger: Database) -> None:
    with ledger.writing() as holder:
        holder.execute(text("LOCK TABLE studies"))

        with pytest.raises(DATABASE_TROUBLE, match="timeout"), ledger.reading() as session:
            session.execute(text("SELECT count(*) FROM studies"))


def test_process_that_stops_within_a_transaction_gives_up_its_locks(ledger: Database) -> None:
    with suppress(DATABASE_TROUBLE), ledger.writing() as stopped:
        stopped.execute(text("LOCK TABLE studies"))
        give_up_at = time.monotonic() + 30
        while True:
            try:
                with ledger.reading() as session:
                    session.execute(text("SELECT count(*) FROM studies"))
            except DATABASE_TROUBLE:
                assert time.monotonic() < give_up_at
            else:
                break


def test_connections_notice_a_server_that_is_cut_off(postgresql: PostgreSQL) -> None:
    with (
        closing(Database(postgresql.new_database())) as database,
        database.engine.connect() as connection,
    ):
        driver = connection.connection.driver_connection
        assert driver is not None
        told = driver.info.get_parameters()

    assert told["tcp_user_timeout"] == "25000"
    assert (told["keepalives_idle"], told["keepalives_count"]) == ("10", "3")


def test_limits_of_the_url_count(postgresql: PostgreSQL) -> None:
    url = f"{postgresql.new_database()}&connect_timeout=3&keepalives_idle=77"
    with closing(Database(url)) as database, database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        told = driver.info.get_parameters()

    assert (told["connect_timeout"], told["keepalives_idle"]) == ("3", "77")


def test_migration_has_no_limit(ledger: Database) -> None:
    ledger.migrate()

    with ledger.reading() as session:
        assert session.scalar(text("SHOW statement_timeout")) == "1s"
