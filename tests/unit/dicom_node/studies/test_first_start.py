"""The ledger is made while somebody is already looking into it."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunningError
from contextlib import closing
from pathlib import Path

import pytest

from dicom_node.studies.ledger.database import Database


def journal_mode(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return an SQLite file that no node has prepared yet."""
    file = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE of_somebody (a)")
        connection.commit()
    return file


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


def test_reader_leaves_the_journal_mode_to_the_node(file: Path, database: Database) -> None:
    assert not database.has_tables()

    assert journal_mode(file) == "delete"


def test_node_waits_for_a_reader_before_it_prepares_the_file(
    file: Path, database: Database
) -> None:
    with closing(sqlite3.connect(file)) as reader, ThreadPoolExecutor(1) as pool:
        reader.isolation_level = None
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM of_somebody").fetchall()
        migrating = pool.submit(database.migrate)
        with pytest.raises(StillRunningError):
            migrating.result(timeout=0.5)
        reader.execute("COMMIT")

        migrating.result(timeout=30)

    assert database.has_tables()
    assert journal_mode(file) == "wal"
