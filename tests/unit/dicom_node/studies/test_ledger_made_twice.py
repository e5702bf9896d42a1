"""A node whose start fails half-way prepares its ledger again without losing what it writes."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from sqlalchemy import func, select

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.workers import note_worker
from dicom_node.studies.ledger.site_tables import KnownWorker

IN_ANOTHER_PROCESS = """
import sys
from contextlib import closing
from sqlalchemy import func, select
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.site_tables import KnownWorker

with closing(Database(sys.argv[1])) as database, database.reading() as session:
    print(session.scalar(select(func.count(KnownWorker.id))))
"""


def note(database: Database, identity: str) -> None:
    with database.writing() as session:
        note_worker(session, identity, name="gpu", queues=["gpu"], processes=1, version="1")


def known_elsewhere(url: str) -> int:
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_what_is_written_after_a_second_preparation_is_seen_by_others(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with closing(Database(url)) as database:
        database.migrate()
        note(database, "1" * 32)

        database.migrate()
        # Whoever closes what it takes for the last connection deletes the log of the database.
        assert known_elsewhere(url) == 1
        note(database, "2" * 32)

        assert known_elsewhere(url) == 2
        with database.reading() as session:
            assert session.scalar(select(func.count(KnownWorker.id))) == 2
