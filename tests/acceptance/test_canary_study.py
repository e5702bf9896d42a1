"""The canary study through real processes: Redis, node, worker with a model, and a dead worker."""

import json
from pathlib import Path

import pytest
from services import Site, running

from dicom_node.settings.reading import load_settings

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_canary_study_is_equal_to_the_bit_and_names_the_worker_that_is_gone(
    tmp_path: Path, bundle: Path
) -> None:
    site = Site(tmp_path, bundle)
    with running(site, "archive", "broker", "node", "worker"):
        for _ in range(5):
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
