"""A ledger in PostgreSQL that does not answer, or holds a lock, is waited for briefly."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
import pytest
from postgresql import PostgreSQL
from sqlalchemy import text

from dicom_node.errors import LedgerError
from dicom_node.studies.ledger import bounded_postgresql
from dicom_node.studies.ledger import database as database_module
from dicom_node.studies.ledger.bounded_postgresql import LONGEST_WAIT_SECONDS, BoundedConnection
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


def test_name_server_that_never_answers_is_waited_for_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_answer = threading.Event()

    def silent(*_question: object, **_options: object) -> None:
        may_answer.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    monkeypatch.setattr(bounded_postgresql, "_LOOK_UP_SECONDS", 0.1)
    with (
        closing(Database("postgresql+psycopg://node@db.example/node")) as database,
        pytest.raises(LedgerError, match="does not answer"),
    ):
        database.require_schema()
    may_answer.set()


@pytest.mark.parametrize(("seconds", "share"), [(10, 4), ("5", 2), (0, 0), (None, None)])
def test_addresses_of_a_server_share_the_time_to_connect(
    monkeypatch: pytest.MonkeyPatch, seconds: int | str | None, share: int | None
) -> None:
    asked: list[dict[str, Any]] = []
    addresses = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    monkeypatch.setattr(bounded_postgresql, "look_up", lambda *_: addresses)
    monkeypatch.setattr(
        psycopg.Connection, "connect", classmethod(lambda _, **options: asked.append(options))
    )

    BoundedConnection.connect(host="ledger.example", connect_timeout=seconds)

    (options,) = asked
    assert options["connect_timeout"] == share
    assert options["hostaddr"] == ",".join(addresses)


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


@pytest.mark.parametrize("is_asked", [True, False], ids=["a question", "the end of a transaction"])
def test_server_that_stops_answering_is_waited_for_briefly(
    stopping: Database, is_asked: bool
) -> None:
    with (
        stopped(server_of(stopping)) as stop,
        pytest.raises(DATABASE_TROUBLE),
        stopping.writing() as session,
    ):
        session.execute(text("SELECT 1"))
        stop()
        if is_asked:
            session.execute(text("SELECT 2"))

    # Another connection serves it, which the pool makes by itself.
    assert stopping.now()


def test_connection_that_stopped_answering_between_transactions_is_replaced(
    stopping: Database,
) -> None:
    with stopped(server_of(stopping)) as stop:
        stop()

        assert stopping.now()


@pytest.fixture
def stopping(postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(BoundedConnection, "longest_wait", 1.0)
    with closing(Database(postgresql.new_database())) as database:
        database.migrate()
        yield database


@contextmanager
def stopped(server: int) -> Iterator[Callable[[], None]]:
    """Yield what holds a process still, and let it go on afterwards."""
    try:
        yield lambda: os.kill(server, signal.SIGSTOP)
    finally:
        os.kill(server, signal.SIGCONT)


def server_of(database: Database) -> int:
    """Return the process at the server's end of the pool's only connection."""
    with database.reading() as session:
        return session.scalars(text("SELECT pg_backend_pid()")).one()


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
        driver = session.connection().connection.driver_connection
    assert isinstance(driver, BoundedConnection)
    assert driver.longest_wait == LONGEST_WAIT_SECONDS
