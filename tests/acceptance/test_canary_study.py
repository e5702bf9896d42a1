"""The canary study through real processes: Redis, node, worker with a model, and a dead worker."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from services import Site, running
from sqlalchemy import select

from dicom_node.canary.run import run_canary
from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.site_tables import CanaryRun

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

RUNS = 100


def test_canary_study_is_equal_to_the_bit_and_names_the_worker_that_is_gone(
    tmp_path: Path, bundle: Path
) -> None:
    site = Site(tmp_path, bundle)
    with running(site, "archive", "broker", "node", "worker"):
        done = site.run("canary", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(json.loads(done.stdout)["seconds"])[-1] == "arrive"
        assert site.studies() == {}
        assert site.archive.get("/studies") == []
        assert "canary: " in site.run("check").stdout

        site.worker.kill()
        config = site.config
        config.write_text(config.read_text() + "\n[canary]\nlongest_seconds = 5\n")
        assert load_settings(config).canary.longest_seconds == 5
        done = site.run("canary")
        assert done.returncode == 1
        assert "FAIL  analyse: it did not end within 5 s" in done.stdout


def test_scores_are_equal_to_the_bit_over_a_hundred_runs_and_two_workers(
    tmp_path: Path, bundle: Path
) -> None:
    site = Site(tmp_path, bundle)
    with running(site, "broker", "node", "worker"):
        settings = load_settings(site.config)
        with closing(Database(settings.ledger_url)) as database:
            for number in range(RUNS):
                if number == RUNS // 2:  # another process, whose model is loaded anew
                    site.worker.stop()
                    site.worker.start()
                run = run_canary(settings, database)
                assert (run.broken, run.reason) == ("", ""), f"run {number}"
            with database.reading() as session:
                rows = session.scalars(select(CanaryRun)).all()

    assert len(rows) == RUNS
    assert len({(row.key, row.scores) for row in rows}) == 1
