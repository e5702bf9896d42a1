"""Real archives are asked which objects they hold: Orthanc by C-FIND and QIDO-RS, dcmqrscp."""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from node_factory import NOW, SECONDARY_CAPTURE, instance_row, mammogram, study_row
from ports import free_port
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from services import Orthanc, Service, require_program, wait_for

from dicom_node.proof.images import ImageSearch
from dicom_node.proof.reports import read_report
from dicom_node.receive.listener import Listener
from dicom_node.receive.reporters import reporters_of
from dicom_node.send.asking import ObjectToFind
from dicom_node.send.commitment import CommitmentAsker, CommitmentQuestion
from dicom_node.send.destinations import asker_for, sender_for
from dicom_node.send.outcome import ObjectToSend
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomDestination, DicomwebDestination
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.reports import Reports
from dicom_node.studies.ledger.database import Database

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
def node_port() -> int:
    """Return the port of the node at which Orthanc reports."""
    return free_port()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, node_port: int) -> Iterator[Orthanc]:
    archive = Orthanc(tmp_path_factory.mktemp("orthanc"), node_port=node_port)
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


Destination = DicomDestination | DicomwebDestination


def result_in(folder: Path) -> tuple[ObjectToFind, ObjectToSend]:
    """Return a result object on disk, to be sent and to be asked for."""
    dataset = mammogram(
        SOPClassUID=SECONDARY_CAPTURE, Modality="OT", StudyID="1", AccessionNumber=""
    )
    dataset.StudyDate, dataset.StudyTime = "20260304", "0930"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = folder / "result.dcm"
    dataset.save_as(file, enforce_file_format=True)
    uids = {"sop_class_uid": SECONDARY_CAPTURE, "sop_instance_uid": str(dataset.SOPInstanceUID)}
    to_find = ObjectToFind(
        key=1,
        series_instance_uid=dataset.SeriesInstanceUID,
        study_instance_uid=dataset.StudyInstanceUID,
        **uids,
    )
    return to_find, ObjectToSend(key=1, file=file, **uids)


def is_held_before_and_after_it_is_sent(
    destination: Destination, folder: Path
) -> tuple[bool, bool]:
    to_find, to_send = result_in(folder)
    asker = asker_for(destination, calling_ae_title="MAMMOCLIP")
    (before,) = asker.ask([to_find])
    send(destination, to_send)
    (later,) = asker.ask([to_find])
    return before.is_held, later.is_held


def object_sent_to(destination: Destination, folder: Path) -> ObjectToFind:
    to_find, to_send = result_in(folder)
    send(destination, to_send)
    return to_find


def send(destination: Destination, item: ObjectToSend) -> None:
    (answer,) = sender_for(destination, calling_ae_title="MAMMOCLIP").send([item])
    assert answer.outcome == "accepted"


def test_orthanc_shows_by_c_find_what_it_was_sent(orthanc: Orthanc, tmp_path: Path) -> None:
    destination = dicom(orthanc.dicom_port)

    assert is_held_before_and_after_it_is_sent(destination, tmp_path) == (False, True)


def test_orthanc_shows_by_qido_what_it_was_sent(orthanc: Orthanc, tmp_path: Path) -> None:
    destination = DicomwebDestination(kind="dicomweb", name="web", url=orthanc.dicomweb_url)

    assert is_held_before_and_after_it_is_sent(destination, tmp_path) == (False, True)


def test_dcmqrscp_shows_by_c_find_what_it_was_sent(dcmqrscp: int, tmp_path: Path) -> None:
    assert is_held_before_and_after_it_is_sent(dicom(dcmqrscp), tmp_path) == (False, True)


@pytest.mark.parametrize("kind", ["C-FIND", "QIDO-RS"])
def test_image_that_was_promised_to_its_scanner_is_found_at_orthanc(
    orthanc: Orthanc, tmp_path: Path, kind: str
) -> None:
    archive: Destination = dicom(orthanc.dicom_port)
    if kind == "QIDO-RS":
        archive = DicomwebDestination(kind="dicomweb", name="web", url=orthanc.dicomweb_url)
    archive = archive.model_copy(update={"holds_images": True})
    to_find, to_send = result_in(tmp_path)
    with closing(Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as database:
        database.migrate()
        with database.writing() as session:
            study = study_row(session, to_find.study_instance_uid)
            uids = {
                "sop_instance_uid": to_find.sop_instance_uid,
                "series_instance_uid": to_find.series_instance_uid,
            }
            instance_row(session, study, committed_at=NOW, **uids)
        settings = Settings(destinations=(archive,), retention=RetentionSettings(days=1))

        before = ImageSearch(settings, database).tick()
        send(archive, to_send)
        after = ImageSearch(settings, database).tick()

    assert (before, after) == (0, 1)


def test_orthanc_commits_to_what_it_holds_and_to_nothing_else(
    orthanc: Orthanc, node_port: int, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    archive = dicom(orthanc.dicom_port).model_copy(update={"confirm": "commitment"})
    receive = ReceiveSettings(port=node_port, minimum_free_bytes=1)
    settings = Settings(spool=spool.root, receive=receive, destinations=(archive,))
    listener = Listener(receive, spool, reporters=reporters_of(settings))
    listener.start()
    held = object_sent_to(archive, tmp_path)
    absent = replace(held, sop_instance_uid="1.2.3.4")
    another = replace(held, sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33")
    questions = [
        CommitmentQuestion(transaction_uid=f"2.25.{number}", objects=objects)
        for number, objects in enumerate([[held], [held, absent], [another]], start=1)
    ]
    asker = CommitmentAsker(
        archive, calling_ae_title="MAMMOCLIP", take_report=lambda *_: 0, stays_seconds=0.1
    )
    reports = Reports(spool.root)

    statuses = dict(asker.ask(questions))
    wait_for(lambda: len(list(reports.waiting())) == 3, seconds=30, what="Orthanc has reported")
    listener.stop()

    said = [read_report(report) for _, report in reports.waiting() if report is not None]
    uid = held.sop_instance_uid
    assert statuses == {"2.25.1": 0, "2.25.2": 0, "2.25.3": 0}
    assert {
        one.transaction_uid: (dict(one.committed), dict(one.failed)) for one in said if one
    } == {
        "2.25.1": ({uid: SECONDARY_CAPTURE}, {}),
        "2.25.2": ({uid: SECONDARY_CAPTURE}, {"1.2.3.4": 0x0112}),
        "2.25.3": ({}, {uid: 0x0119}),
    }
