"""Real archives are asked which objects they hold: Orthanc by C-FIND and QIDO-RS, dcmqrscp."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_factory import SECONDARY_CAPTURE, mammogram
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from services import Orthanc, Service, free_port, require_program, wait_for

from dicom_node.send.asking import ObjectToFind
from dicom_node.send.destinations import asker_for, sender_for
from dicom_node.send.outcome import ObjectToSend
from dicom_node.settings.destinations import DicomDestination, DicomwebDestination

DCMQRSCP = """
NetworkTCPPort  = {port}
MaxPDUSize      = 16384
MaxAssociations = 16
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ARCHIVE {folder} RW (200, 1024mb) ANY
AETable END
"""


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    archive = Orthanc(tmp_path_factory.mktemp("orthanc"), node_port=free_port())
    archive.start()
    yield archive
    archive.stop()


@pytest.fixture(scope="module")
def dcmqrscp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("dcmqrscp"), free_port()
    (folder / "db").mkdir()
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(DCMQRSCP.format(port=port, folder=folder / "db"))
    command = [require_program("dcmqrscp"), "-c", str(configuration)]
    service = Service("dcmqrscp", command, folder / "dcmqrscp.log").start()

    def answers() -> bool:
        service.require_alive()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True

    wait_for(answers, seconds=30, what="dcmqrscp answers")
    yield port
    service.kill()


def dicom(port: int) -> DicomDestination:
    return DicomDestination(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port)


def is_held_before_and_after_it_is_sent(
    destination: DicomDestination | DicomwebDestination, folder: Path
) -> tuple[bool, bool]:
    dataset = mammogram(
        SOPClassUID=SECONDARY_CAPTURE, Modality="OT", StudyID="1", AccessionNumber=""
    )
    dataset.StudyDate, dataset.StudyTime = "20260304", "0930"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = folder / "result.dcm"
    dataset.save_as(file, enforce_file_format=True)
    uids = {"sop_class_uid": SECONDARY_CAPTURE, "sop_instance_uid": str(dataset.SOPInstanceUID)}
    item = ObjectToFind(
        key=1,
        series_instance_uid=dataset.SeriesInstanceUID,
        study_instance_uid=dataset.StudyInstanceUID,
        **uids,
    )
    asker = asker_for(destination, calling_ae_title="MAMMOCLIP")
    (before,) = asker.ask([item])
    sender = sender_for(destination, calling_ae_title="MAMMOCLIP")
    (answer,) = sender.send([ObjectToSend(key=1, file=file, **uids)])
    assert answer.outcome == "accepted"
    (later,) = asker.ask([item])
    return before.is_held, later.is_held


def test_orthanc_shows_by_c_find_what_it_was_sent(orthanc: Orthanc, tmp_path: Path) -> None:
    destination = dicom(orthanc.dicom_port)

    assert is_held_before_and_after_it_is_sent(destination, tmp_path) == (False, True)


def test_orthanc_shows_by_qido_what_it_was_sent(orthanc: Orthanc, tmp_path: Path) -> None:
    destination = DicomwebDestination(kind="dicomweb", name="web", url=orthanc.dicomweb_url)

    assert is_held_before_and_after_it_is_sent(destination, tmp_path) == (False, True)


def test_dcmqrscp_shows_by_c_find_what_it_was_sent(dcmqrscp: int, tmp_path: Path) -> None:
    assert is_held_before_and_after_it_is_sent(dicom(dcmqrscp), tmp_path) == (False, True)
