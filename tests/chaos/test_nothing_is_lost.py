"""kill -9 at the worst moments: after a restart every study is delivered, once."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from postgresql import PostgreSQL
from pydicom.dataset import Dataset
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Analysis, Instance

pytestmark = pytest.mark.timeout(600)

WITHIN_SECONDS = 120

LONG = os.environ.get("MAMMOCLIP_CHAOS") == "long"
ROUNDS = range(10 if LONG else 1)
"""``make chaos`` kills the worker at ten moments instead of one."""

MakeSite = Callable[..., Site]


@pytest.fixture
def film() -> list[Dataset]:
    return datasets_of(FILM)


HOLDING_UP = {
    "sqlite": "SELECT 1",  # the first statement of a transaction that may write takes the lock
    "postgresql": "LOCK TABLE studies, instances IN EXCLUSIVE MODE",
}


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> str:
    """Return which database holds the ledger; SQLite unless a test says otherwise."""
    return getattr(request, "param", "sqlite")


BOTH_LEDGERS = pytest.mark.parametrize("ledger", ["sqlite", "postgresql"], indirect=True)
BOTH_LEDGERS_AT_LENGTH = pytest.mark.parametrize(
    "ledger", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)


@pytest.fixture
def make_site(
    request: pytest.FixtureRequest, tmp_path: Path, bundle: Path, ledger: str
) -> Iterator[MakeSite]:
    sites: list[Site] = []

    def make(**settings: Any) -> Site:
        if ledger == "postgresql":
            settings["ledger_url"] = request.getfixturevalue("postgresql").new_database()
        sites.append(Site(tmp_path, bundle, **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


@contextmanager
def ledger_of(site: Site) -> Iterator[Session]:
    database = Database(load_settings(site.config).ledger_url)
    try:
        with database.reading() as session:
            yield session
    finally:
        database.close()


def analysis_states(site: Site) -> list[tuple[str, int]]:
    with ledger_of(site) as session:
        rows = session.scalars(select(Analysis).order_by(Analysis.id))
        return [(row.state.value, row.attempts) for row in rows]


def require_delivered_once(site: Site, sent: list[Dataset]) -> None:
    """One report, a picture an image, a segmentation where a region is; each UID once."""
    uid = sent[0].StudyInstanceUID
    site.wait_for_condition(uid, "delivered", seconds=WITHIN_SECONDS)
    record = site.study_record(uid)
    done = [one for one in record["analyses"] if one["state"] == "done"]
    assert len(done) == 1
    images = json.loads(done[0]["findings"])["images"]
    regions = [image for image in images if any(f["regions"] for f in image["findings"])]
    held = [pydicom.dcmread(BytesIO(content)) for content in site.archive.instances(uid)]
    modalities = sorted(dataset.Modality for dataset in held)
    expected = ["OT"] * len(sent) + ["SEG"] * len(regions) + ["SR"]
    assert modalities == expected
    assert {one.SOPInstanceUID for one in held} == {
        one["sop_instance_uid"] for one in record["results"]
    }


@BOTH_LEDGERS_AT_LENGTH
@pytest.mark.parametrize("round_", ROUNDS)
def test_worker_killed_in_the_middle_of_an_analysis(
    make_site: MakeSite, film: list[Dataset], round_: int, ledger: str
) -> None:
    as_shipped = {"heartbeat_seconds": 10, "lease_seconds": 40}
    site = make_site(**(as_shipped if LONG and ledger == "sqlite" else {}))
    with running(site, "archive", "broker", "node", "worker"):
        assert all_stored(send(film, site.node_port))
        # Looked at through one connection: to open one may take longer than an analysis.
        with ledger_of(site) as session:

            def runs() -> bool:
                session.rollback()
                return [row.state.value for row in session.scalars(select(Analysis))] == ["running"]

            wait_for(runs, seconds=60, what="the analysis runs")
        time.sleep(0.4 * round_)  # each round kills at another moment, not to wait for anything

        site.worker.kill()
        attempts = 2 if analysis_states(site) == [("running", 1)] else 1
        assert attempts == 2 or round_ > 0
        site.worker.start()

        require_delivered_once(site, film)
        assert analysis_states(site) == [("done", attempts)]


@BOTH_LEDGERS
def test_node_killed_between_the_answer_and_the_ledger(
    make_site: MakeSite, film: list[Dataset]
) -> None:
    site = make_site()
    with running(site, "archive", "broker", "node", "worker"):
        database = Database(load_settings(site.config).ledger_url)
        with database.writing() as session:  # the registrar cannot write, reception goes on
            session.execute(text(HOLDING_UP[database.engine.dialect.name]))

            assert all_stored(send(film, site.node_port))
            site.node.kill()
            assert session.scalar(select(func.count(Instance.id))) == 0
        database.close()
        site.start_node()

        require_delivered_once(site, film)


@BOTH_LEDGERS_AT_LENGTH
def test_broker_killed_and_its_data_gone(make_site: MakeSite, film: list[Dataset]) -> None:
    site = make_site()
    with running(site, "archive", "broker", "node"):
        assert all_stored(send(film, site.node_port))
        wait_for(lambda: _dispatched(site), seconds=60, what="the analysis is in the queue")

        site.broker.kill()
        site.broker.lose_data()
        site.broker.start()
        site.worker.start()

        require_delivered_once(site, film)


@BOTH_LEDGERS_AT_LENGTH
def test_task_that_kills_its_process_every_time_ends_as_failed(
    make_site: MakeSite, film: list[Dataset], tmp_path: Path
) -> None:
    site = make_site(maximum_attempts=3, lease_seconds=2)
    patch = (
        f"if request.study_instance_uid == {str(film[0].StudyInstanceUID)!r}:\n"
        "    import os, signal\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "return super().analyze(request)\n"
    )
    site.worker.environment = {**site.environment, **_patched_python(tmp_path, patch)}
    with running(site, "archive", "broker", "node", "worker"):
        assert all_stored(send(film, site.node_port))
        uid = film[0].StudyInstanceUID

        site.wait_for_condition(uid, "failed", seconds=WITHIN_SECONDS)

        assert analysis_states(site) == [("failed", 3)]
        assert "given up after 3 attempts" in site.studies()[uid]["reason"]

        site.worker.stop()
        site.worker.environment = site.environment
        site.worker.start()
        assert site.run("retry", uid).returncode == 0
        require_delivered_once(site, film)


def test_worker_whose_every_process_dies_fails_no_study(
    make_site: MakeSite, film: list[Dataset], tmp_path: Path
) -> None:
    site = make_site(maximum_attempts=2, lease_seconds=2)
    patch = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    site.worker.environment = {**site.environment, **_patched_python(tmp_path, patch)}
    with running(site, "archive", "broker", "node", "worker"):
        assert all_stored(send(film, site.node_port))
        wait_for(
            lambda: "the worker itself may be at fault" in str(site.studies()),
            seconds=WITHIN_SECONDS,
            what="it is put off: no worker got through test images",
        )

        site.worker.stop()
        site.worker.environment = site.environment
        site.worker.start()
        require_delivered_once(site, film)


@BOTH_LEDGERS_AT_LENGTH
def test_archive_that_is_down_gets_everything_when_it_is_back(
    make_site: MakeSite, film: list[Dataset]
) -> None:
    site = make_site()
    uid = film[0].StudyInstanceUID
    with running(site, "broker", "node", "worker"):
        assert all_stored(send(film, site.node_port))
        wait_for(
            lambda: (summary := site.summary(uid)) and summary.reason.startswith("archive: "),
            seconds=90,
            what="the delivery is postponed with its reason",
        )

        site.archive.start()

        require_delivered_once(site, film)


@pytest.mark.long
@pytest.mark.parametrize("ledger", ["postgresql"], indirect=True)
def test_database_killed_while_a_study_is_on_its_way(
    make_site: MakeSite, film: list[Dataset], postgresql: PostgreSQL
) -> None:
    site = make_site()
    with running(site, "archive", "broker", "node", "worker"):
        second = _as_another_study(film)
        assert all_stored(send(film, site.node_port))
        wait_for(
            lambda: [state for state, _ in analysis_states(site)] == ["running"],
            seconds=60,
            what="the analysis runs",
        )

        postgresql.kill()
        assert all_stored(send(second, site.node_port))  # reception needs no ledger
        postgresql.start()

        require_delivered_once(site, film)
        require_delivered_once(site, second)


def test_bare_command_loads_one_model_on_a_machine_of_64_cores(
    make_site: MakeSite, film: list[Dataset], tmp_path: Path
) -> None:
    site = make_site()
    site.worker.environment = {
        **site.environment,
        **_patched_python(tmp_path, "", cores=64),
        "CUDA_VISIBLE_DEVICES": "",
    }
    with running(site, "archive", "broker", "node", "worker"):
        second = _as_another_study(film)
        assert all_stored(send(film, site.node_port))
        assert all_stored(send(second, site.node_port))

        require_delivered_once(site, film)
        require_delivered_once(site, second)

        assert "concurrency: 1 (prefork)" in site.worker.output()
        assert site.worker.output().count("model_loaded") == 1


def test_messages_hold_numbers_only(make_site: MakeSite, film: list[Dataset]) -> None:
    site = make_site()
    with running(site, "archive", "broker", "node"):
        assert all_stored(send(film, site.node_port))
        wait_for(lambda: _dispatched(site), seconds=60, what="the analysis is in the queue")

        message = _first_message(site)

        assert json.loads(message["body_text"])[0] == [1]
        text = json.dumps(message)
        for word in (film[0].PatientID, "OPEN", "Specimen", film[0].StudyInstanceUID):
            assert str(word) not in text


def _dispatched(site: Site) -> bool:
    with ledger_of(site) as session:
        query = select(func.count(Analysis.id)).where(Analysis.dispatched_at.is_not(None))
        return session.scalar(query) == 1


def _first_message(site: Site) -> dict[str, Any]:
    import base64

    import redis

    with redis.Redis(port=site.broker.port) as client:
        message = json.loads(client.lrange("gpu", 0, 0)[0])
    return {**message, "body_text": base64.b64decode(message["body"]).decode()}


def _patched_python(folder: Path, on_analyze: str, cores: int = 0) -> dict[str, str]:
    """Return an environment in which every analysis first runs some code, by `sitecustomize`."""
    lines = ["import sys"]
    if cores:
        lines += [
            "import os, multiprocessing",
            f"os.cpu_count = multiprocessing.cpu_count = lambda: {cores}",
        ]
    if on_analyze:
        body = "\n".join(f"        {line}" for line in on_analyze.splitlines())
        lines += [
            "from mammoclip_core.analysis import engine",
            "class Deadly(engine.Engine):",
            "    def analyze(self, request):",
            body,
            "engine.Engine = Deadly",
        ]
    customised = folder / "customised"
    customised.mkdir()
    (customised / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    return {"PYTHONPATH": str(customised)}


def _as_another_study(datasets: list[Dataset]) -> list[Dataset]:
    changed = []
    for dataset in datasets:
        other = pydicom.dcmread(dataset.filename)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            other[keyword].value = f"{dataset[keyword].value[:60]}.77"
        other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
        changed.append(other)
    return changed
