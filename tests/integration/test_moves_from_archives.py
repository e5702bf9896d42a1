"""C-MOVE from real archives to the node's own listener."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from files_on_disk import on_disk
from lab.archives import MissingPeerError, Peer, dcmqrscp, orthanc
from node_factory import STUDY_UID, Reception, four_views, mammogram
from ports import free_port
from services import missing, require_program
from studies_on_disk import node

from dicom_node.receive.listener import Listener
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database

pytestmark = pytest.mark.orthanc


@pytest.fixture
def reception(tmp_path: Path) -> Iterator[Reception]:
    """Return the spool and ledger of a node whose listener runs."""
    settings = ReceiveSettings(port=free_port(), minimum_free_bytes=1)
    spool = Spool(tmp_path / "spool", minimum_free_bytes=1)
    with closing(Database(f"sqlite:///{spool.root / 'ledger.sqlite'}")) as database:
        database.migrate()
        listener = Listener(settings, spool)
        listener.start()
        yield Reception(spool, database, settings)
        listener.stop()


@pytest.mark.parametrize(
    "peer", [orthanc, pytest.param(dcmqrscp, marks=pytest.mark.long)], ids=["orthanc", "dcmqrscp"]
)
def test_only_mammograms_of_a_study_are_moved_to_the_node(
    tmp_path: Path,
    reception: Reception,
    peer: Callable[[Path, int], AbstractContextManager[Peer]],
) -> None:
    images = four_views(AccessionNumber="A1", StudyDate="20260102", StudyTime="101500")
    report = mammogram(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR", without=["PixelData"],
        SeriesInstanceUID=f"{STUDY_UID}.2", AccessionNumber="A1", StudyDate="20260102",
        StudyTime="101500",
    )  # fmt: skip
    files = on_disk(tmp_path / "study", *images, report)
    (tmp_path / "archive").mkdir()
    try:
        with peer(tmp_path / "archive", reception.settings.port) as archive:
            subprocess.run(
                [require_program("storescu"), "-aec", "ARCHIVE", "-R", "127.0.0.1",
                 str(archive.port), *map(str, files.iterdir())],
                check=True, capture_output=True,
            )  # fmt: skip
            config = tmp_path / "mammoclip.toml"
            config.write_text(f"""
[receive]
minimum_free_bytes = 1
[[destinations]]
name = "pacs"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive.port}
retrieve = "c-move"
timeout_seconds = 10
""")
            listed = tmp_path / "list.csv"
            listed.write_text("accession_number\nA1\n")
            command = ["run", listed, "--archive", "pacs", "--config", config, "--json"]
            dry = node(*command)
            done = node(*command, "--retrieve")
            reception.registrar.register_all()
            again = node(*command, "--retrieve")
    except MissingPeerError as error:
        missing(str(error))

    assert json.loads(dry.stdout)["to_retrieve"]["studies"] == 1
    assert [one["fate"] for one in json.loads(done.stdout)["studies"]] == ["retrieved"], done.output
    assert [one["fate"] for one in json.loads(again.stdout)["studies"]] == ["in the node already"]
    rows = reception.instances()
    assert sorted(row.sop_instance_uid for row in rows) == sorted(
        str(image.SOPInstanceUID) for image in images
    )
    assert {row.calling_ae_title for row in rows} == {"ARCHIVE"}
    assert reception.study().priority == 0
