"""Two nodes and three worker hosts before one ledger: hosts are cut off, and nothing is lost."""

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql import PostgreSQL
from pydicom.dataset import Dataset
from sample_images import FILM
from sending import all_stored, copies_of, send
from services import BIN, Service, Site, wait_for
from sqlalchemy import select

from dicom_node.studies.ledger.spools import spool_names
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

WITHIN_SECONDS = 300
STUDIES = 6
MOST_FURTHER = 30


class Region:
    """Hosts a and b with a node each, and worker hosts that see the spool of a, of b, or both."""

    def __init__(self, folder: Path, bundle: Path, ledger_url: str) -> None:
        for name in ("a", "b", "wa", "wb", "wab"):
            (folder / name).mkdir()
        self.folder = folder
        self.site = Site(folder / "a", bundle, ledger_url=ledger_url)
        self.settings = self.site.config.read_text()
        self.ports = {"a": self.site.node_port}
        self.nodes = {"a": self.site.node, "b": self._second_node()}
        a, b = (folder / name / "spool" for name in "ab")
        self.workers = {
            "wa": self._worker("wa", a),
            "wb": self._worker("wb", b),
            "wab": self._worker("wab", a, b),
        }

    def start(self) -> None:
        self.site.archive.start()
        self.site.broker.start()
        self.site.start_node()
        first = self.folder / "a/spool/identity.key"
        wait_for(first.is_file, seconds=30, what="the first node has made the key")
        (self.folder / "b/spool").mkdir(mode=0o700)
        shutil.copy(first, self.folder / "b/spool/identity.key")
        self.nodes["b"].start()
        wait_for(self._knows_both, seconds=60, what="both nodes are known")
        for worker in self.workers.values():
            worker.start()

    def stop(self) -> None:
        for one in (*self.workers.values(), self.nodes["b"]):
            one.stop()
        self.site.stop()

    def send(self, images: list[Dataset], *nodes: str) -> None:
        """Send the images of a study, each to the next of some nodes."""
        for number, image in enumerate(images):
            node = nodes[number % len(nodes)]
            wait_for(
                lambda: all_stored(send([image], self.ports[node])),  # noqa: B023  called at once
                seconds=60,
                what=f"node {node} takes an image",
            )

    def _knows_both(self) -> bool:
        with self.site._database() as database, database.reading() as session:
            return len(spool_names(session)) == 2

    def _second_node(self) -> Service:
        from ports import free_port

        self.ports["b"] = free_port()
        text = self.settings.replace(f"port = {self.ports['a']}", f"port = {self.ports['b']}", 1)
        return self._service("b", text, [str(BIN / "mammoclip-node"), "serve"])

    def _worker(self, name: str, *spools: Path) -> Service:
        mounted = []
        for spool in spools:
            mount = self.folder / name / f"mount-{spool.parent.name}"
            mount.symlink_to(spool)
            mounted.append(str(mount))
        text = self.settings.replace(
            'spool = "spool"', f'spool = "{mounted[0]}"\nother_spools = {mounted[1:]}', 1
        )
        command = [str(BIN / "celery"), "-A", "worker", "worker", "--concurrency", "1"]
        return self._service(name, text, [*command, "--hostname", f"{name}@host"])

    def _service(self, name: str, settings: str, command: list[str]) -> Service:
        folder = self.folder / name
        file = folder / "mammoclip.toml"
        file.write_text(settings)
        environment = {"MAMMOCLIP_CONFIG": str(file), "OMP_NUM_THREADS": "1"}
        return Service(name, command, folder / f"{name}.log", environment)


@pytest.fixture
def server(postgresql: PostgreSQL) -> PostgreSQL:
    return postgresql


@pytest.fixture
def region(tmp_path: Path, bundle: Path, server: PostgreSQL) -> Iterator[Region]:
    made = Region(tmp_path, bundle, server.new_database())
    try:
        made.start()
        yield made
    finally:
        made.stop()


def signalled(worker: Service, number: int) -> None:
    assert worker.process is not None
    os.killpg(worker.process.pid, number)


def test_hosts_that_are_cut_off_lose_and_double_nothing(region: Region, server: PostgreSQL) -> None:
    sent = copies_of(FILM, STUDIES)
    for number, images in enumerate(sent):
        region.send(images, *(("a",), ("b",), ("a", "b"))[number % 3])
        if number == 2:
            # Cut off in the middle: it neither works nor renews its lease, and knows nothing of it.
            further = _send_until_one_is_held(region)
            for worker in region.workers.values():
                signalled(worker, signal.SIGSTOP)
                time.sleep(8)  # longer than a lease, so that others take the work over
                signalled(worker, signal.SIGCONT)
    mount = region.folder / "wab/mount-b"
    target = mount.readlink()
    mount.unlink()  # its network drive is away
    region.nodes["a"].kill()
    server.kill()
    server.start()
    region.site.start_node()
    time.sleep(5)
    mount.symlink_to(target)

    sent += further
    for images in sent:
        region.site.wait_for_condition(
            images[0].StudyInstanceUID, "delivered", seconds=WITHIN_SECONDS
        )

    for images in sent:
        _require_delivered_once(region, images)
    _require_files_of_their_own(region)


def _send_until_one_is_held(region: Region) -> list[list[Dataset]]:
    """Send further studies until one is seen in a worker's hands; return those.

    Where this process is given little time, an analysis of a second has ended before it looks.
    """
    further: list[list[Dataset]] = []
    to_send = iter(copies_of(FILM, MOST_FURTHER))

    def is_held() -> bool:
        with region.site._database() as database, database.reading() as session:
            states = list(session.scalars(select(Analysis.state)))
        if set(states) == {AnalysisState.DONE}:
            further.append(next(to_send))
            region.send(further[-1], "a", "b")
        return AnalysisState.RUNNING in states

    wait_for(is_held, seconds=240, what="a study is being analysed")
    return further


def _require_delivered_once(region: Region, images: list[Dataset]) -> None:
    uid = images[0].StudyInstanceUID
    record = region.site.study_record(uid)
    newest = [one for one in record["analyses"] if one["state"] == "done"][-1]
    read = json.loads(newest["findings"])["images"]
    assert Counter(one["status"] for one in read) == {"analysed": len(images)}
    results = [one for one in record["results"] if one["analysis_id"] == newest["id"]]
    held = region.site.archive.post(
        "/tools/find",
        {
            "Level": "Instance",
            "Expand": True,
            "Query": {"StudyInstanceUID": uid},
        },
    )
    uids = Counter(one["MainDicomTags"]["SOPInstanceUID"] for one in held)
    assert set(uids.values()) == {1}
    assert {one["sop_instance_uid"] for one in results} <= set(uids)
    assert {one["sop_instance_uid"] for one in record["results"]} == set(uids)


def _require_files_of_their_own(region: Region) -> None:
    """Every file lies in the spool that its row names, and no other file lies anywhere."""
    with region.site._database() as database, database.reading() as session:
        names = spool_names(session)
    folders = {name: Path(name.partition(":")[2]) for name in names.values()}
    expected: dict[Path, set[str]] = {folder: set() for folder in folders.values()}
    for study in region.site.studies():
        for one in region.site.study_record(study)["instances"]:
            expected[folders[one["node"]]].add(one["place"])
    for folder, places in expected.items():
        found = {str(file.relative_to(folder)) for file in folder.glob("studies/*/*")}
        assert found == places
        assert list(folder.glob("incoming/*")) == []
