"""A worker that cannot reach its broker says so in the ledger, where studies wait."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from services import BIN, Redis, Service, wait_for
from unit.dicom_node.node_factory import analysis_row, study_row

from dicom_node.studies.broker import ANALYZE_TASK, GPU_QUEUE, Broker
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.queries import reading

ROOT = Path(__file__).parents[2]
LONGEST_SECONDS = 120
"""A machine that does other work starts a worker, or tries a broker again, late."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{tmp_path / 'spool' / 'ledger.sqlite'}")) as database:
        database.migrate()
        with database.writing() as session:
            at = database.now() - timedelta(minutes=1)
            analysis_row(session, study_row(session), due_at=at, dispatched_at=at)
        yield database


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def worker(server: Redis, database: Database, tmp_path: Path) -> Iterator[Service]:
    config = tmp_path / "mammoclip.toml"
    url = f"redis://127.0.0.1:{server.port}/0"
    config.write_text(f'spool = "spool"\n[broker]\nurl = "{url}"\n')
    environment = {"MAMMOCLIP_CONFIG": str(config), "PYTHONPATH": str(ROOT)}
    command = [str(BIN / "celery"), "-A", "worker", "worker", "-n", "gpu@host"]
    worker = Service("worker", command, tmp_path / "worker.log", environment).start()
    yield worker
    worker.kill()


def reason(database: Database) -> str:
    with database.reading() as session:
        (summary,) = reading.summaries(session, limit=9)
    return summary.reason


def test_study_says_which_trouble_of_the_broker_its_worker_has(
    worker: Service, database: Database, server: Redis
) -> None:
    def says(words: str) -> bool:
        worker.require_alive()
        return words in reason(database)

    wait_for(
        lambda: says("no worker takes it: the broker cannot be used: ConnectionError"),
        seconds=LONGEST_SECONDS,
        what="the study says that the worker has no broker",
    )
    assert reason(database).endswith("(found by gpu@host)")

    server.start()
    broker = Broker(f"redis://127.0.0.1:{server.port}/0")
    broker.speak_of("0" * 32)
    broker.notify(ANALYZE_TASK, GPU_QUEUE, [1])
    wait_for(
        lambda: says("no worker takes it: messages of the broker speak of another ledger"),
        seconds=LONGEST_SECONDS,
        what="the study says that the worker has another ledger's messages",
    )

    worker.process.terminate()
    assert worker.process.wait(LONGEST_SECONDS) == 0
