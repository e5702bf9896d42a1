"""The ledger under a schedule: a real database, whose every statement and commit is a step.

SQLite is a file on a file system in memory, with its one write lock. PostgreSQL is a real server:
what waits for a row's lock there does not go on until the lock is free.
"""

import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
from psycopg.waiting import Ready, Wait
from schedule import Process, Schedule, Task
from sqlalchemy import create_engine, event, text

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Base

_KEPT = {"ledger_identity"}


@dataclass(frozen=True)
class _InUse:
    """A connection, and the simulated process that has it."""

    process: Process
    driver: int
    proxy: Any
    backend: int


class SimulatedDatabase(Database):
    """The product's `Database`, one for all simulated processes: what differs is said here.

    The tables are there, and nobody closes it. A process that is killed has its transactions rolled
    back, as the database does when the connection of a process breaks.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        super().migrate()
        self._identity = super().identity()
        self._schedule: Schedule | None = None
        self._writer: int | None = None
        self._blocked: dict[Task, int] = {}
        self._in_use: dict[int, _InUse] = {}
        self._ending: list[int] = []
        self.rewrite: Callable[[str], str] = lambda statement: statement
        """Changes statements, to plant a fault."""
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        # Looks at what others wait for, by a connection of which no statement is a step.
        self._watcher = create_engine(url, isolation_level="AUTOCOMMIT").connect()
        names = [f'"{name}"' for name in Base.metadata.tables if name not in _KEPT]
        # What a node notes in the row of the ledger's identity is of the schedule before.
        self._wipe = ["UPDATE ledger_identity SET key_digest = '', serial_number = ''"]
        self._wipe += (
            [f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE"]
            if self.is_postgresql
            else [
                f'DELETE FROM "{one.name}"'
                for one in reversed(Base.metadata.sorted_tables)
                if one.name not in _KEPT
            ]
        )
        event.listen(self.engine, "before_cursor_execute", self._before_statement, retval=True)
        event.listen(self.engine, "commit", self._before_commit)
        event.listen(self.engine, "rollback", self._before_rollback)
        event.listen(self.engine, "checkout", self._after_checkout)
        event.listen(self.engine, "checkin", self._after_checkin)

    def begin(self, schedule: Schedule | None, known: Sequence[str] = ()) -> None:
        """Begin a schedule with an empty ledger.

        Parameters
        ----------
        known : statements that enter what the ledger knows before it begins
        """
        self._schedule = None
        self._writer = None
        self._blocked.clear()
        statements = "; ".join((*self._wipe, *known))
        # All at once: each of them by itself would take as long as a step of the product.
        with self.engine.connect() as connection:
            if self.is_postgresql:
                connection.exec_driver_sql(statements)
                connection.commit()
            else:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.executescript(f"BEGIN IMMEDIATE; {statements}; COMMIT")
        self._schedule = schedule

    def keep(self, name: str) -> list[str]:
        """Keep all that the ledger holds now; return the statements that enter it again.

        Parameters
        ----------
        name : of this content, in letters
        """
        schedule, self._schedule = self._schedule, None
        statements = []
        with self.engine.begin() as connection:
            for table in Base.metadata.sorted_tables:
                one = table.name
                if (
                    one in _KEPT
                    or not connection.exec_driver_sql(
                        f'SELECT EXISTS (SELECT 1 FROM "{one}")'
                    ).scalar()
                ):
                    continue
                connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{name}_{one}"')
                connection.exec_driver_sql(f'CREATE TABLE "{name}_{one}" AS SELECT * FROM "{one}"')
                statements.append(f'INSERT INTO "{one}" SELECT * FROM "{name}_{one}"')
                if self.is_postgresql and table.autoincrement_column is not None:
                    statements.append(
                        f"SELECT setval(pg_get_serial_sequence('{one}', "
                        f"'{table.autoincrement_column.name}'), (SELECT max(id) FROM {one}))"
                    )
            row = connection.exec_driver_sql(
                "SELECT key_digest, serial_number FROM ledger_identity"
            ).one()
        statements.append(
            f"UPDATE ledger_identity SET key_digest = '{row[0]}', serial_number = '{row[1]}'"
        )
        self._schedule = schedule
        return statements

    @property
    def is_written_to(self) -> bool:
        """Return whether somebody has SQLite's write lock."""
        return self._writer is not None

    def migrate(self) -> None:
        """Do nothing: the tables are there."""

    def require_schema(self) -> None:
        """Do nothing: the tables are there."""

    def identity(self) -> str:
        return self._identity

    def close(self) -> None:
        """Do nothing: other simulated processes use it."""

    def end(self) -> None:
        self._watcher.close()
        self._watcher.engine.dispose()
        super().close()

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Read as somebody from outside, whose look is no step."""
        schedule, self._schedule = self._schedule, None
        try:
            with self.reading() as session:
                return list(session.execute(text(query), values))
        finally:
            self._schedule = schedule

    def break_connections_of(self, process: Process) -> None:
        """Roll back what a process that is gone has left open."""
        for one in [one for one in self._in_use.values() if one.process is process]:
            one.proxy.close()
        if self._ending:
            self._wait_for_end(self._ending)
            self._ending.clear()

    def wait_for_answers(self, tasks: list[Task]) -> None:
        """Wait until each who waits for a lock either has it or still waits."""
        for task in [one for one in self._blocked if one in tasks and not one.is_done]:
            assert task.ready is not None
            for _ in range(30_000):
                if task.ready() or self._waits_for_lock(self._blocked[task]):
                    break
                select.select([], [], [], 0.0005)

    def _stepping(self) -> Schedule | None:
        schedule = self._schedule
        return schedule if schedule is not None and schedule.current is not None else None

    def _before_statement(
        self, connection: Any, _cursor: Any, statement: str, values: Any, *_: Any
    ) -> tuple[str, Any]:
        schedule = self._stepping()
        if schedule is not None:
            if statement.startswith("BEGIN IMMEDIATE"):
                schedule.wait(statement, lambda: self._writer is None, None)
                self._writer = id(connection.connection.dbapi_connection)
            elif not statement.startswith("BEGIN"):
                schedule.step(statement)
        if self.is_postgresql and "clock_timestamp()" in statement and self._schedule is not None:
            at = datetime.fromtimestamp(self._schedule.now, UTC).isoformat()
            statement = statement.replace("clock_timestamp()", f"TIMESTAMPTZ '{at}'")
        return self.rewrite(statement), values

    def _before_commit(self, connection: Any) -> None:
        schedule = self._stepping()
        if schedule is not None:
            schedule.step("COMMIT")
        self._free(id(connection.connection.dbapi_connection))

    def _before_rollback(self, connection: Any) -> None:
        self._free(id(connection.connection.dbapi_connection))

    def _after_checkout(self, driver: Any, record: Any, proxy: Any) -> None:
        schedule = self._stepping()
        if schedule is not None and schedule.current is not None:
            backend = driver.info.backend_pid if self.is_postgresql else 0
            process = schedule.current.process
            self._in_use[id(record)] = _InUse(process, id(driver), proxy, backend)

    def _after_checkin(self, _driver: Any, record: Any) -> None:
        # One that was closed amid a statement comes back to the pool without its driver.
        one = self._in_use.pop(id(record), None)
        if one is not None:
            self._free(one.driver)
            if self.is_postgresql and one.process.is_gone:
                self._ending.append(one.backend)

    def _free(self, driver: int) -> None:
        """Free the write lock of a connection whose transaction ends now."""
        if self._writer == driver:
            self._writer = None

    def _waits_for_lock(self, backend: int) -> bool:
        query = text("SELECT cardinality(pg_blocking_pids(:pid))")
        return bool(self._watcher.scalar(query, {"pid": backend}))

    def wait_for_server(self, connection: Any, answer: Any, wait: Callable[[], Any]) -> Any:
        """Drive one exchange with the server; another thread goes on while it waits for a lock."""
        schedule = self._stepping()
        if schedule is None or schedule.current is None or schedule.current.process.is_gone:
            return wait()
        line, task = connection.pgconn.socket, schedule.current
        try:
            wanted = next(answer)
            looks = 0
            while True:
                found = _ready(line, wanted, 0.002)
                if found is None:
                    looks += 1
                    if looks < 2 or not self._waits_for_lock(connection.info.backend_pid):
                        continue
                    self._blocked[task] = connection.info.backend_pid
                    try:
                        schedule.wait("a lock", partial(_is_ready, line, wanted), None)
                    except BaseException:
                        connection.cancel()
                        connection.close()
                        raise
                    finally:
                        del self._blocked[task]
                    continue
                wanted = answer.send(found)
        except StopIteration as ended:
            return ended.value

    def _wait_for_end(self, backends: list[int]) -> None:
        """Wait until the server has rolled back what connections that are closed had begun."""
        query = text(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:pids) "
            "AND state <> 'idle' AND query NOT LIKE '%pg_stat_activity%'"
        )
        while self._watcher.scalar(query, {"pids": backends}):
            select.select([], [], [], 0.0005)


def _is_ready(line: int, wanted: Wait) -> bool:
    return _ready(line, wanted, 0.0) is not None


def _ready(line: int, wanted: Wait, seconds: float) -> Ready | None:
    readers = [line] if wanted & Wait.R else []
    writers = [line] if wanted & Wait.W else []
    readable, writable, _ = select.select(readers, writers, [], seconds)
    if not readable and not writable:
        return None
    return Ready((Ready.R if readable else 0) | (Ready.W if writable else 0))


def connection_class(opened: list[SimulatedDatabase]) -> type[psycopg.Connection[Any]]:
    """Return what stands for the product's bounded connection: no real time bounds its waits.

    Parameters
    ----------
    opened : holds the database once it is there
    """
    wait_plainly = psycopg.Connection.wait

    class SimulatedConnection(psycopg.Connection[Any]):
        longest_wait: float | None = None

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            def plainly() -> Any:
                return wait_plainly(self, gen, interval)

            return opened[0].wait_for_server(self, gen, plainly) if opened else plainly()

    return SimulatedConnection
