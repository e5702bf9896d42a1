"""A run over many studies of a real archive: killed twice, each study once, one whole table."""

import csv
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from bundles import bundle
from files_on_disk import dicom_file
from node_factory import STUDY_UID, Reception
from ports import free_port
from services import Orthanc, Site, wait_for
from sqlalchemy import select
from started_processes import started_process
from studies_on_disk import node
from unit.worker.worker_factory import shown_mammogram

from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Instance

__all__ = ["bundle"]

pytestmark = pytest.mark.orthanc

VIEWS = (("CC", "R"), ("CC", "L"), ("MLO", "R"), ("MLO", "L"))
PER_HOUR = 14_400
"""Four in a second."""


def uid_of(number: int) -> str:
    return f"{STUDY_UID}.7.{number}"


def filled(archive: Orthanc, count: int) -> None:
    for number in range(count):
        about = {"StudyInstanceUID": uid_of(number), "AccessionNumber": f"A{number}"}
        for place, (view, side) in enumerate(VIEWS):
            about["SOPInstanceUID"] = f"{uid_of(number)}.2.{place}"
            image = shown_mammogram(view, side, SeriesInstanceUID=f"{uid_of(number)}.1", **about)
            archive.send("/instances", dicom_file(image))


def settings_of(archive: Orthanc) -> str:
    return f"""
[receive]
minimum_free_bytes = 1
[[destinations]]
name = "pacs"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive.dicom_port}
"""


def listed(folder: Path, count: int) -> Path:
    file = folder / "list.csv"
    file.write_text("\n".join(["accession_number", *(f"A{n}" for n in range(count))]) + "\n")
    return file


def killed_when(command: list[str], fact: Callable[[], bool], *, seconds: float) -> float:
    """Run a command until something is so, kill it, and return how long it took."""
    began = time.monotonic()
    with started_process([sys.executable, "-m", "dicom_node.commands.node", *command]):
        wait_for(fact, seconds=seconds, what="studies have come")
    return time.monotonic() - began


def begins_of(database: Database) -> list[float]:
    """Return when the first object of each study came, in order, in seconds."""
    first: dict[int, float] = {}
    with database.reading() as session:
        for row in session.scalars(select(Instance)):
            received = row.received_at.timestamp()
            first[row.study_id] = min(first.get(row.study_id, received), received)
    return sorted(first.values())


def received_objects(database: Database) -> list[str]:
    with database.reading() as session:
        return [str(uid) for uid in session.scalars(select(Instance.sop_instance_uid))]


def require_whole(database: Database, done: dict, table: Path, count: int, *, state: str) -> None:
    uids = received_objects(database)
    assert len(uids) == len(set(uids)) == 4 * count
    assert done["whole"]
    assert len(done["studies"]) == count
    with table.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["study"] for row in rows} == {uid_of(number) for number in range(count)}
    assert {row["line"] for row in rows} == {str(number + 2) for number in range(count)}
    assert {row["analysis"] for row in rows} == {state}, {row["reason"] for row in rows}
    begins = begins_of(database)
    # Objects come after their study is begun, the later the busier the machine: over many studies
    # that is little, between two it may be much.
    assert begins[-1] - begins[0] > 0.9 * (count - 1) * 3600 / PER_HOUR - 1


def test_run_killed_twice_fetches_each_study_once_at_its_pace(tmp_path: Path) -> None:
    count = 8
    archive = Orthanc(tmp_path, node_port=free_port()).start()
    try:
        filled(archive, count)
        config = tmp_path / "mammoclip.toml"
        config.write_text(settings_of(archive))
        spool = Spool(tmp_path / "spool", minimum_free_bytes=1)
        command = ["run", str(listed(tmp_path, count)), "--archive", "pacs", "--config"]
        command += [str(config), "--retrieve", "--per-hour", str(PER_HOUR)]
        table = tmp_path / "scores.csv"
        with closing(Database(f"sqlite:///{spool.root / 'ledger.sqlite'}")) as database:
            database.migrate()
            reception = Reception(spool, database, ReceiveSettings(minimum_free_bytes=1))
            # No node runs at first: what the killed one has fetched waits unregistered.
            killed_when(command, lambda: len(spool.incoming()) >= 3, seconds=60)
            killed_when(command, lambda: len(spool.incoming()) >= 9, seconds=60)
            waiting = len(spool.incoming())
            done = node(*command, "--json", "--table", table)
            assert len(spool.incoming()) == 4 * count
            reception.registrar.register_all()
            assert waiting < 4 * count
            require_whole(database, json.loads(done.stdout), table, count, state="not begun")
    finally:
        archive.stop()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_run_of_500_killed_twice_is_whole_paced_and_as_foretold(
    tmp_path: Path, bundle: Path
) -> None:
    count = 500
    site = Site(tmp_path, bundle, idle_seconds=1, lease_seconds=60)
    tests = Path(__file__).parents[1]
    site.environment |= {
        "PYTHONPATH": os.pathsep.join(
            map(str, (tests / "chaos" / "simulated", tests, tests.parent))
        ),
        "NIGHT_FOLDER": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    worker = [sys.executable, "-m", "celery", "-A", "worker", "worker", "-Q", "gpu"]
    site.node.environment = site.environment
    site.worker = site._service("worker", worker)
    site.worker.environment = {**site.environment, "NIGHT_MODEL": "1"}
    command = ["run", str(listed(tmp_path, count)), "--archive", "archive"]
    command += ["--config", str(site.config)]
    paced = [*command, "--retrieve", "--per-hour", str(PER_HOUR)]
    try:
        site.archive.start()
        filled(site.archive, count)
        site.broker.start()
        site.start_node()
        site.worker.start()
        told = json.loads(node(*command, "--json").stdout)["to_retrieve"]
        told_paced = json.loads(node(*command, "--per-hour", str(PER_HOUR), "--json").stdout)
        with closing(Database(f"sqlite:///{tmp_path / 'spool' / 'ledger.sqlite'}")) as database:
            killed_when(paced, lambda: len(begins_of(database)) >= 0.3 * count, seconds=600)
            killed_when(paced, lambda: len(begins_of(database)) >= 0.6 * count, seconds=600)
            table = tmp_path / "scores.csv"
            done = node(*paced, "--json", "--wait", "--table", table)
            require_whole(database, json.loads(done.stdout), table, count, state="done")
            size = sum(
                file.stat().st_size for file in (tmp_path / "spool" / "studies").rglob("*.dcm")
            )
            begins = begins_of(database)
    finally:
        site.stop()
    # Without a pace, into a spool of its own: how long it takes in truth.
    alone = tmp_path / "alone"
    alone.mkdir()
    archive = site.archive.start()
    try:
        config = alone / "mammoclip.toml"
        config.write_text(settings_of(archive))
        with closing(Database(f"sqlite:///{_spool_in(alone)}/ledger.sqlite")) as database:
            database.migrate()
        began = time.monotonic()
        ran = [*command[:2], "--archive", "pacs", "--config", str(config), "--retrieve", "--json"]
        assert json.loads(node(*ran).stdout)["whole"]
        took = time.monotonic() - began
    finally:
        archive.stop()
    print(  # noqa: T201  what was measured
        f"\nforetold {told['bytes']} bytes, {told['seconds']} s; were {size} bytes, {took:.1f} s;"
        f" paced: foretold {told_paced['to_retrieve']['seconds']} s, was"
        f" {begins[-1] - begins[0]:.1f} s"
    )
    assert size / 2 < told["bytes"] < size * 2
    assert took / 2 < told["seconds"] < took * 2
    # Killed and started again it takes longer than foretold, and never less than at least.
    assert begins[-1] - begins[0] > 0.9 * told_paced["to_retrieve"]["at_least_seconds"]


def _spool_in(folder: Path) -> Path:
    return Spool(folder / "spool", minimum_free_bytes=1).root
