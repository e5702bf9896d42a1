"""After a fault of the site has ended, every study is done without a person."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for

CLOSED = "/sys"
"""A folder in which nobody can create anything, root included."""


@pytest.fixture(scope="module")
def own_bundle(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    """Return a link to the bundle, to be taken away: others use the bundle at the same time."""
    link = tmp_path_factory.mktemp("bundles") / "bundle"
    link.symlink_to(bundle)
    return link


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory, own_bundle: Path) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), own_bundle, maximum_attempts=1)
    with running(site, "archive", "broker", "node"):
        yield site


@pytest.fixture
def site(running_site: Site) -> Iterator[Site]:
    """Return the site with a new worker's log, whose worker is not started yet."""
    yield running_site
    running_site.worker.stop()
    running_site.worker.log.unlink()


def a_study(site: Site, number: int) -> str:
    datasets = datasets_of(FILM)
    for dataset in datasets:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:56]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    assert all_stored(send(datasets, site.node_port, calling="FILM"))
    return str(datasets[0].StudyInstanceUID)


def fault_is_told(site: Site) -> bool:
    site.worker.require_alive()
    return "site_fault" in site.worker.output()


def told(site: Site, event: str) -> int:
    return sum(event in line.split() for line in site.worker.output().splitlines())


def test_study_is_done_once_the_bundle_is_there(site: Site, own_bundle: Path, bundle: Path) -> None:
    own_bundle.unlink()
    site.worker.start()
    uid = a_study(site, 1)
    wait_for(lambda: fault_is_told(site), seconds=60, what="the absent bundle is told")

    own_bundle.symlink_to(bundle)
    site.wait_for_condition(uid, "delivered")

    (analysis,) = site.study_record(uid)["analyses"]
    assert analysis["attempts"] == 1
    assert (told(site, "site_fault"), told(site, "site_fault_ended")) == (1, 1)


def test_study_is_done_once_the_spool_can_be_written_again(site: Site) -> None:
    site.worker.start()
    site.wait_for_condition(a_study(site, 2), "delivered")
    results = site.folder / "spool" / "results"
    results.rename(site.folder / "kept")
    results.symlink_to(CLOSED)
    uid = a_study(site, 3)
    wait_for(lambda: fault_is_told(site), seconds=60, what="the closed folder is told")

    results.unlink()
    (site.folder / "kept").rename(results)
    site.wait_for_condition(uid, "delivered")

    (analysis,) = site.study_record(uid)["analyses"]
    assert analysis["attempts"] == 1
    assert (told(site, "site_fault"), told(site, "site_fault_ended")) == (1, 1)
