"""The archive of the demonstration, as its own process: what it keeps, and what it refuses."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from paused_reactor import paused
from ports import free_port
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification
from services import Service, wait_for

from deploy.archive import archive_command
from deploy.demo.children import answers
from deploy.demo.exchange import fetch_results

STUDY = "1.2.826.0.1.3680043.8.498.88"


def archive_in(folder: Path) -> "Archive":
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOCLIP_DEMO_ARCHIVE", "small")
        return Archive(folder)


class Archive(Service):
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "archive"
        self.port = free_port()
        command = archive_command(
            self.folder, dicom_port=self.port, http_port=free_port(), node_port=1, peers=()
        )
        super().__init__("archive", command, folder / "archive.log")

    def start(self) -> "Archive":
        super().start()
        wait_for(self._answers, seconds=60, what="the archive answers")
        return self

    def _answers(self) -> bool:
        self.require_alive()
        return answers(self.port)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    archive = archive_in(tmp_path_factory.mktemp("small")).start()
    yield archive
    archive.stop()


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """Return the UID of a study of the test's own."""
    return f"{STUDY}.{int.from_bytes(request.node.name.encode()) % 10**12}"


def report(study: str, number: int, **attributes: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = ComprehensiveSRStorage
    dataset.SOPInstanceUID = f"{study}.1.{number}"
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = f"{study}.1"
    dataset.Modality = "SR"
    dataset.InstanceNumber = str(number)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def store(archive: Archive, dataset: Dataset | bytes, uid: str | None = None) -> int | None:
    """Send a data set, whatever its UIDs are, under a UID of the request."""
    content = dataset
    if isinstance(dataset, Dataset):
        content, uid = encode(dataset, False, True), uid or str(dataset.SOPInstanceUID)
    entity = AE(ae_title="NODE")
    entity.add_requested_context(ComprehensiveSRStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", archive.port, ae_title="ARCHIVE")
    assert association.is_established
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = ComprehensiveSRStorage, uid
    request.DataSet = BytesIO(content)
    with paused(association):
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, answer = association.dimse.get_msg(block=True)
    association.release()
    return None if answer is None else answer.Status


def numbers(archive: Archive, study: str) -> list[int]:
    return sorted(int(one.InstanceNumber) for one in fetch_results(study, archive.port))


def test_what_is_stored_is_got_back(archive: Archive, study: str) -> None:
    assert [store(archive, report(study, number)) for number in (1, 2)] == [0x0000] * 2
    assert store(archive, report(study, 3, StudyInstanceUID=f"{study}.9")) == 0x0000

    assert numbers(archive, study) == [1, 2]


def test_objects_outlive_a_kill(tmp_path: Path, study: str) -> None:
    archive = archive_in(tmp_path).start()
    store(archive, report(study, 1))
    archive.kill()
    archive.start()

    try:
        assert numbers(archive, study) == [1]
    finally:
        archive.stop()


def test_object_stored_again_is_held_once_in_its_last_form(archive: Archive, study: str) -> None:
    store(archive, report(study, 1))
    held = len(list(archive.folder.rglob("*.dcm")))

    store(archive, report(study, 1, InstanceNumber="7"))

    assert numbers(archive, study) == [7]
    assert len(list(archive.folder.rglob("*.dcm"))) == held


@pytest.mark.parametrize("uid", ["../escaped", "/tmp/escaped", "..", "1.2/../../../escaped", "C:x"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_uid_that_is_a_path_is_refused(archive: Archive, study: str, uid: str) -> None:
    folder = archive.folder.parent
    # The archive makes files of its own at its first object, whatever that is.
    assert store(archive, report(f"{study}.1", 1)) == 0x0000
    before = {path for path in folder.rglob("*") if path.is_file()}

    assert store(archive, report(study, 1, SOPInstanceUID=uid)) == 0xC000

    assert {path for path in folder.rglob("*") if path.is_file()} == before
    assert not list(folder.parent.glob("escaped*"))
    assert not os.path.lexists("/tmp/escaped")


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_request_under_another_uid_is_refused(archive: Archive, study: str) -> None:
    assert store(archive, report(study, 1), uid="../escaped") == 0xA900
    assert store(archive, report(study, 1), uid="1.2.3") == 0xA900


def test_bytes_that_are_no_data_set_are_refused(archive: Archive, study: str) -> None:
    assert store(archive, b"this is not DICOM", uid="1.2.3") == 0xC000
    assert store(archive, report(study, 1)) == 0x0000


def test_echo_is_answered(archive: Archive) -> None:
    entity = AE(ae_title="NODE")
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", archive.port, ae_title="ARCHIVE")

    assert association.send_c_echo().Status == 0x0000
    association.release()


def test_archive_is_reached_from_this_machine_only(archive: Archive) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = {line.split()[1] for line in listening if line.split()[3] == "0A"}

    assert f"0100007F:{archive.port:04X}" in addresses
    assert f"00000000:{archive.port:04X}" not in addresses
