"""A PostgreSQL that stops answering in any stage of a study loses and doubles nothing."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from postgresql import PostgreSQL
from pydicom.dataset import Dataset
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for
from sqlalchemy import select

from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

STOPPED_SECONDS = 20.0
"""Longer than a lease, and than anything waits for a statement."""


@contextmanager
def stopped(*processes: int) -> Iterator[None]:
    """Stop processes with all that they have started."""
    found = [one for process in processes for one in tree(process)]
    _signal_all(found, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal_all(found, signal.SIGCONT)


def _signal_all(processes: Iterable[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # one that served a connection which was just closed
            os.kill(process, number)


def tree(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(one for child in children for one in tree(int(child)))]


@pytest.fixture
def site(tmp_path: Path, bundle: Path, postgresql: PostgreSQL) -> Iterator[Site]:
    site = Site(tmp_path, bundle, ledger_url=postgresql.new_database(), idle_seconds=3)
    with running(site, "archive", "broker", "node", "worker"):
        yield site


@pytest.fixture
def film() -> list[Dataset]:
    return datasets_of(FILM)


def holds(site: Site, *questions: object) -> Callable[[], bool]:
    from dicom_node.settings.reading import load_settings

    url = load_settings(site.config).ledger_url

    def answer() -> bool:
        with closing(Database(url)) as database, database.reading() as session:
            return all(session.scalar(one) is not None for one in questions)

    return answer


REGISTERED = select(Instance.id)
RUNNING = select(Analysis.id).where(Analysis.state == AnalysisState.RUNNING)
DONE = select(Analysis.id).where(Analysis.state == AnalysisState.DONE)
SENDING = select(Delivery.id).where(Delivery.state == DeliveryState.SENDING)


def require_delivered_once(site: Site, film: list[Dataset]) -> None:
    uid = film[0].StudyInstanceUID
    site.wait_for_condition(uid, "delivered", seconds=180)
    record = site.study_record(uid)
    held = site.archive.instances(uid)
    assert len([one for one in record["analyses"] if one["state"] == "done"]) == 1
    assert len(held) == len(record["results"])


def pid_of(postgresql: PostgreSQL) -> int:
    assert postgresql.process is not None
    return postgresql.process.pid


def test_reception_goes_on_and_the_study_is_delivered(
    site: Site, film: list[Dataset], postgresql: PostgreSQL
) -> None:
    with stopped(pid_of(postgresql)):
        assert all_stored(send(film, site.node_port, calling="FILM"))
        time.sleep(STOPPED_SECONDS)
        site.node.require_alive()
        site.worker.require_alive()

    require_delivered_once(site, film)


@pytest.mark.parametrize(
    ("stage", "question"), [("settling", REGISTERED), ("analysis", RUNNING), ("recording", DONE)]
)
def test_study_goes_on_once_the_ledger_does(
    site: Site, film: list[Dataset], postgresql: PostgreSQL, stage: str, question: object
) -> None:
    assert all_stored(send(film, site.node_port, calling="FILM"))
    wait_for(holds(site, question), seconds=120, what=stage)

    with stopped(pid_of(postgresql)):
        time.sleep(STOPPED_SECONDS)
        site.node.require_alive()
        site.worker.require_alive()

    require_delivered_once(site, film)


def test_delivery_under_way_is_no_second_one(
    site: Site, film: list[Dataset], postgresql: PostgreSQL
) -> None:
    assert site.archive.process is not None
    with stopped(site.archive.process.pid):
        assert all_stored(send(film, site.node_port, calling="FILM"))
        wait_for(holds(site, SENDING), seconds=120, what="results are being sent")
        with stopped(pid_of(postgresql)):
            os.kill(site.archive.process.pid, signal.SIGCONT)
            time.sleep(STOPPED_SECONDS)
            site.worker.require_alive()

    require_delivered_once(site, film)


@pytest.mark.parametrize(("stage", "question"), [("waiting", REGISTERED), ("analysis", RUNNING)])
def test_worker_ends_while_the_ledger_is_silent(
    site: Site, film: list[Dataset], postgresql: PostgreSQL, stage: str, question: object
) -> None:
    assert all_stored(send(film, site.node_port, calling="FILM"))
    wait_for(holds(site, question), seconds=120, what=stage)
    assert site.worker.process is not None

    with stopped(pid_of(postgresql)):
        site.worker.process.terminate()
        site.worker.process.wait(90)

    site.worker.start()
    require_delivered_once(site, film)
