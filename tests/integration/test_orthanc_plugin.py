"""Orthanc with the plugin sends what is stable, whoever is killed, and shows the results."""

import json
import re
import sqlite3
import subprocess
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from browser import headless_browser
from files_on_disk import dicom_file
from node_factory import STUDY_UID, four_views, mammogram
from objects_factory import NEGATIVE, finding, identity, image_of, results_of
from objects_factory import mammogram as whole_mammogram
from ports import free_port
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from services import Orthanc, require_program, wait_for

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.products import Profile
from dicom_node.objects.writing import write_object

PLUGIN = Path(__file__).parents[2] / "deploy" / "orthanc" / "mammoclip.py"

pytestmark = pytest.mark.orthanc


class Node:
    """A storage SCP in the place of the node, which can be away and refuse."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[str] = []
        self.status = 0x0000

    @contextmanager
    def running(self) -> Iterator["Node"]:
        entity = AE(ae_title="MAMMOCLIP")
        for uid in ("1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.1.2.1"):
            entity.add_supported_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store)]
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            server.shutdown()

    def _store(self, event: evt.Event) -> int:
        if self.status == 0x0000:
            self.received.append(str(event.request.AffectedSOPInstanceUID))
        return self.status


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def archive(tmp_path: Path, node: Node) -> Iterator[Orthanc]:
    orthanc = Orthanc(
        tmp_path,
        node_port=node.port,
        PythonScript=str(PLUGIN),
        StableAge=1,
        MammoClip={"Modality": "node", "Queue": str(tmp_path / "queue.sqlite")},
    ).start()
    wait_for(lambda: queue_begun(tmp_path), seconds=30, what="the plugin reads the changes")
    yield orthanc
    orthanc.stop()


def queue_begun(folder: Path) -> bool:
    with suppress(sqlite3.Error), closing(sqlite3.connect(folder / "queue.sqlite")) as queue:
        return bool(queue.execute("SELECT seq FROM cursor").fetchall())
    return False


def put(archive: Orthanc, *datasets: Dataset) -> str:
    """Store objects, and return Orthanc's name of their study."""
    for dataset in datasets:
        answer = archive.send("/instances", dicom_file(dataset))
    return str(answer["ParentStudy"])


def state(archive: Orthanc, study: str) -> str:
    try:
        return archive.get_bytes(f"/studies/{study}/metadata/4201").decode()
    except urllib.error.HTTPError:
        return ""


def uids(images: list[Dataset]) -> list[str]:
    return sorted(str(image.SOPInstanceUID) for image in images)


def sent(node: Node, images: list[Dataset]) -> Callable[[], bool]:
    return lambda: sorted(set(node.received)) == uids(images)


@pytest.mark.long
def test_stable_study_is_sent_once_and_its_result_is_shown(archive: Orthanc, node: Node) -> None:
    images = [
        whole_mammogram(view, side, size=(16, 12), PixelData=bytes(16 * 12 * 2))
        for view, side in (("CC", "R"), ("CC", "L"), ("MLO", "R"), ("MLO", "L"))
    ]
    with node.running():
        study = put(archive, *images)
        wait_for(sent(node, images), seconds=60, what="the study is sent")
        wait_for(lambda: state(archive, study) == "sent", seconds=20, what="it is said to be sent")
        archive.send("/instances", own_report(images[0], revision=1, above=True))
        wait_for(lambda: state(archive, study) == "flagged", seconds=30, what="the result is shown")
        archive.send("/instances", own_report(images[0], revision=2, above=False))
        wait_for(lambda: state(archive, study) == "done", seconds=30, what="the newest is shown")
        archive.send("/instances", own_report(images[0], revision=1, above=True))
    result = json.loads(archive.get_bytes(f"/studies/{study}/metadata/4202"))
    assert "without findings" in result["outcome"]
    assert result["remarks"]
    assert sorted(node.received) == uids(images), "what came back sent no image again"
    assert archive.get("/mammoclip/studies") == []


def test_archive_killed_at_any_moment_loses_no_study(archive: Orthanc, node: Node) -> None:
    first = four_views(StudyInstanceUID=f"{STUDY_UID}.5", SeriesInstanceUID=f"{STUDY_UID}.5.1")
    second = four_views(StudyInstanceUID=f"{STUDY_UID}.6", SeriesInstanceUID=f"{STUDY_UID}.6.1")
    study = put(archive, *first)
    wait_for(lambda: state(archive, study).startswith("waiting"), seconds=60, what="it waits")
    put(archive, *second)  # killed before it is stable

    archive.kill()
    archive.start()
    with node.running():
        wait_for(sent(node, [*first, *second]), seconds=90, what="both studies are sent")
        wait_for(lambda: archive.get("/mammoclip/studies") == [], seconds=30, what="all is done")


@pytest.mark.long
def test_late_and_refused_images_are_sent_again_and_the_button_sends_at_once(
    archive: Orthanc, node: Node
) -> None:
    images = four_views()
    with node.running():
        node.status = 0xA700
        study = put(archive, *images[:3])
        wait_for(lambda: "waiting" in state(archive, study), seconds=60, what="it is refused")
        node.status = 0x0000
        listed, asked = (documented(archive, study, method) for method in ("GET", "POST"))
        assert listed[0]["study"] == study
        assert asked == {"message": "The study is being sent to be analysed."}
        wait_for(sent(node, images[:3]), seconds=30, what="it is sent on request")
        put(archive, images[3])
        wait_for(sent(node, images), seconds=60, what="the late image is sent")


@pytest.mark.long
def test_button_in_the_explorer_sends_a_study_and_state_and_result_stand_below_it(
    tmp_path: Path, archive: Orthanc, node: Node
) -> None:
    image = whole_mammogram("CC", "R", size=(16, 12), PixelData=bytes(16 * 12 * 2))
    study = put(archive, image)
    wait_for(lambda: "waiting" in state(archive, study), seconds=60, what="nobody takes it")
    asked: list[str] = []
    with headless_browser(tmp_path / "profile") as browser:
        page = browser.page
        page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
        page.goto(f"http://127.0.0.1:{archive.http_port}/app/explorer.html#study?uuid={study}")
        shown = page.locator("#mammoclip-state")
        page.get_by_text("waiting: ").wait_for()
        with node.running():
            page.get_by_text("Analyse mammograms").click()
            page.get_by_text("sent", exact=True).wait_for()
        archive.send("/instances", own_report(image, revision=1, above=True))
        page.get_by_text("flagged; ").wait_for()
        text = shown.inner_text()
    assert asked == ["The study is being sent to be analysed."]
    assert node.received == uids([image])
    assert "with findings" in text


@pytest.mark.long
def test_study_without_mammograms_is_not_sent(archive: Orthanc, node: Node) -> None:
    with node.running():
        study = put(archive, mammogram(Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"))
        answer = archive.post(f"/mammoclip/studies/{study}/analyse", {})
    assert answer == {"message": "The study has no mammogram: nothing is sent."}
    with pytest.raises(urllib.error.HTTPError):
        archive.get(f"/mammoclip/studies/{study}/analyse")
    assert node.received == []
    script = archive.get_bytes("/plugins/explorer.js").decode()
    assert "Analyse mammograms" in script


def documented(archive: Orthanc, study: str, method: str) -> Any:
    """Do the call of the page about Orthanc that asks, or that lists."""
    page = (PLUGIN.parents[2] / "docs" / "ways" / "orthanc.md").read_text(encoding="utf-8")
    commands = re.findall(r"^curl (.*/mammoclip/\S*)$", page, re.MULTILINE)
    (line,) = [one for one in commands if ("-X POST" in one) == (method == "POST")]
    line = line.replace("8042", str(archive.http_port)).replace("STUDY", study)
    done = subprocess.run(
        [require_program("curl"), "-sS", *line.split()], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def own_report(source: Dataset, *, revision: int, above: bool) -> bytes:
    """Return a report of the node as a file."""
    (report,) = results_of(
        (source, image_of(source, finding() if above else NEGATIVE)),
        profiles=(Profile(objects=frozenset({ResultKind.MEASUREMENT_REPORT})),),
        identity=identity(revision, created_at=datetime(2026, 1, 2, 12, revision, tzinfo=UTC)),
    )
    stream = BytesIO()
    write_object(report.dataset, stream)
    return stream.getvalue()
