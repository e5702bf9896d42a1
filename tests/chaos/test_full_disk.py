"""A spool on a small file system that is full: nothing is lost, and all goes on by itself."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, missing, running, wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

MEGABYTES = 96


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a spool that is a file system of its own."""
    folder = tmp_path / "spool"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=700", "none", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        missing("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def site(disk: Path, tmp_path: Path, bundle: Path) -> Iterator[Site]:
    site = Site(tmp_path, bundle, idle_seconds=4)
    text = site.config.read_text()
    site.config.write_text(text.replace("minimum_free_bytes = 100000000", "minimum_free_bytes = 1"))
    with running(site, "archive", "broker", "node", "worker"):
        yield site


@pytest.fixture
def film() -> list[Dataset]:
    return datasets_of(FILM)


def fill(disk: Path) -> None:
    """Leave no byte."""
    with (disk / "filler").open("ab", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                continue


def free(disk: Path) -> None:
    (disk / "filler").unlink()


def require_delivered_once(site: Site, film: list[Dataset]) -> None:
    uid = film[0].StudyInstanceUID
    site.wait_for_condition(uid, "delivered", seconds=180)
    record = site.study_record(uid)
    assert len([one for one in record["analyses"] if one["state"] == "done"]) == 1
    assert len(site.archive.instances(uid)) == len(record["results"])


def test_full_disk_refuses_objects_until_there_is_room(
    site: Site, disk: Path, film: list[Dataset]
) -> None:
    fill(disk)
    # Rejected as transient: a sender tries again later.
    with pytest.raises(AssertionError, match="accepts the association"):
        send(film, site.node_port, calling="FILM")
    site.node.require_alive()

    free(disk)
    assert all_stored(send(film, site.node_port, calling="FILM"))
    require_delivered_once(site, film)


@pytest.mark.parametrize("condition", ["receiving", "waiting", "analysing"])
def test_study_on_a_disk_that_fills_up_goes_on_when_there_is_room(
    site: Site, disk: Path, film: list[Dataset], condition: str
) -> None:
    uid = film[0].StudyInstanceUID
    assert all_stored(send(film, site.node_port, calling="FILM"))
    known = ("receiving", "waiting", "analysing")
    later = known[known.index(condition) :]

    def reached() -> bool:
        summary = site.summary(uid)
        return summary is not None and summary.condition in {*later, "delivered"}

    wait_for(reached, seconds=120, what=f"the study is {condition}")
    fill(disk)
    wait_for(
        lambda: "site_fault" in site.worker.output() or "disk" in site.node.output(),
        seconds=60,
        what="the log tells of the full disk",
    )
    site.node.require_alive()
    site.worker.require_alive()

    free(disk)
    require_delivered_once(site, film)
