"""What an archive sends by C-MOVE comes to the node's own port, and only if it was asked for."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pydicom
import pytest
from archive_double import STORED, ArchiveDouble
from node_factory import PATIENT_ID, SOMEBODY_ELSE, STUDY_UID, four_views
from ports import free_port
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.errors import DestinationDownError, MismatchedStudyError
from dicom_node.facts.priority import Priority, written_priority_of
from dicom_node.fetch.asked_for import Retrieved
from dicom_node.fetch.found_objects import FoundStudy
from dicom_node.fetch.held_by_the_node import held_now
from dicom_node.fetch.moving_archive import MovingArchive
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.receive.listener import Listener
from dicom_node.receive.moved_objects import MovedObjects
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.expected_moves import ExpectedMoves
from dicom_node.studies.ledger.database import Database

CLASSES = frozenset(STORED)
STUDY = FoundStudy(STUDY_UID, PATIENT_ID)


def stored(*images: Dataset) -> list[Dataset]:
    for image in images:
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return list(images)


@pytest.fixture
def ledger(tmp_path: Path, migrated_ledger: Path) -> Iterator[Database]:
    (tmp_path / "ledger.sqlite").write_bytes(migrated_ledger.read_bytes())
    with closing(Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as database:
        yield database


@pytest.fixture
def port(spool: Spool) -> Iterator[int]:
    """Return the port of the node, which listens."""
    settings = ReceiveSettings(port=free_port(), minimum_free_bytes=1)
    listener = Listener(settings, spool)
    listener.start()
    yield settings.port
    listener.stop()


Move = Callable[..., Retrieved]


@pytest.fixture
def move(spool: Spool, ledger: Database) -> Move:
    def retrieve(double: ArchiveDouble, **options: Any) -> Retrieved:
        archive = MovingArchive(
            double.destination(timeout_seconds=10.0),
            calling_ae_title="MAMMOCLIP",
            move_ae_title=options.pop("to", "MAMMOCLIP"),
            root=spool.root,
            held=held_now(ledger, spool),
        )
        objects = archive.objects(STUDY, CLASSES)
        settings = ReceiveSettings(minimum_free_bytes=1)
        with file_intake(
            settings, spool, origin="run", calling_ae_title="RUN", priority=Priority.OFF_PEAK
        ) as intake:
            return archive.retrieve(STUDY, objects, CLASSES, intake)

    return retrieve


def kept(spool: Spool) -> dict[str, Any]:
    """Return the file meta information of what is in the spool by SOP Instance UID."""
    found = [
        pydicom.filereader.read_file_meta_info(spool.incoming_file(one)) for one in spool.incoming()
    ]
    return {str(one.MediaStorageSOPInstanceUID): one for one in found}


def test_objects_come_to_the_port_of_the_node_with_their_priority(
    spool: Spool, port: int, move: Move
) -> None:
    images = stored(*four_views())

    with ArchiveDouble(images, moves_to=port).running() as double:
        retrieved = move(double)

    uids = {str(image.SOPInstanceUID) for image in images}
    assert retrieved.kept == uids
    assert set(kept(spool)) == uids
    assert {written_priority_of(meta) for meta in kept(spool).values()} == {Priority.OFF_PEAK}
    assert {meta.SendingApplicationEntityTitle for meta in kept(spool).values()} == {"PACS"}
    assert ExpectedMoves(spool.root).under_way() == []


def test_what_was_not_asked_for_is_refused_at_the_port(spool: Spool, port: int, move: Move) -> None:
    images = stored(*four_views())
    others = stored(*four_views(StudyInstanceUID=f"{STUDY_UID}.5"))

    with ArchiveDouble(
        images, moves_to=port, sent=lambda asked: [*asked, *others]
    ).running() as double:
        retrieved = move(double)

    uids = {str(image.SOPInstanceUID) for image in images}
    assert set(kept(spool)) == uids
    assert retrieved.kept == uids


def test_archive_that_says_success_and_sends_nothing_is_named(
    spool: Spool, port: int, move: Move
) -> None:
    with ArchiveDouble(stored(*four_views()), moves_to=port, sent=lambda _: []).running() as double:
        retrieved = move(double)

    assert retrieved.kept == set()
    assert "and 0 have come: check the node's host and port at the archive" in retrieved.refused[0]
    assert kept(spool) == {}


def test_object_that_comes_under_another_study_does_not_count(
    spool: Spool, port: int, move: Move
) -> None:
    images = stored(*four_views())

    def of_another_study(asked: list[Dataset]) -> list[Dataset]:
        for image in asked:
            image.StudyInstanceUID = f"{STUDY_UID}.5"
        return asked

    double = ArchiveDouble(images, moves_to=port)
    with double.running():
        double.sent = of_another_study
        retrieved = move(double)

    assert retrieved.kept == set()


def test_object_of_another_patient_is_refused_at_the_port(
    spool: Spool, port: int, move: Move
) -> None:
    def one_of_another_patient(asked: list[Dataset]) -> list[Dataset]:
        if asked[0].ViewPosition == "MLO":
            asked[0].PatientID = SOMEBODY_ELSE["PatientID"]
        return asked

    double = ArchiveDouble(stored(*four_views()), moves_to=port)
    with double.running():
        double.sent = one_of_another_patient
        retrieved = move(double)

    assert len(retrieved.kept) == len(kept(spool)) == 2
    assert "sent what the node refused, which its log names" in retrieved.refused[0]


def test_archive_that_does_not_know_the_node_says_what_to_enter(port: int, move: Move) -> None:
    del port
    with (
        ArchiveDouble(stored(*four_views())).running() as double,
        pytest.raises(DestinationDownError, match="does not know MAMMOCLIP as a place to send to"),
    ):
        move(double)


def test_only_what_the_node_asked_this_archive_for_passes(spool: Spool) -> None:
    moved = MovedObjects(spool.root, {"MAMMOCLIP"})
    moves = ExpectedMoves(spool.root)

    assert moved.request_for("1.2", originator="", archive="PACS") is None
    assert moved.request_for("1.2", originator="WORKSTATION", archive="PACS") is None
    with moves.expecting({"1.2"}, originator="MAMMOCLIP", archive="PACS", priority=2):
        found = moved.request_for("1.2", originator="MAMMOCLIP", archive="PACS")
        assert found is not None
        assert found.priority == Priority.STAT
        assert moved.request_for("1.2", originator="PACS", archive="PACS") == found
        assert moved.request_for("1.3", originator="WORKSTATION", archive="PACS") is None
        with pytest.raises(MismatchedStudyError):
            moved.request_for("1.3", originator="PACS", archive="PACS")
        for uid, archive in (("1.3", "PACS"), ("1.2", "OTHER")):
            with pytest.raises(MismatchedStudyError):
                moved.request_for(uid, originator="MAMMOCLIP", archive=archive)
    assert moved.request_for("1.2", originator="PACS", archive="PACS") is None
    with pytest.raises(MismatchedStudyError):
        moved.request_for("1.2", originator="MAMMOCLIP", archive="PACS")


def test_what_a_killed_process_expected_is_forgotten(spool: Spool) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from dicom_node.spool.messages.expected_moves import ExpectedMoves\n"
        "with ExpectedMoves(Path(sys.argv[1])).expecting({'1.2'}, originator='A', archive='B'):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(spool.root)], check=False, env=os.environ)

    assert len(list((spool.root / "moves").glob("*.json"))) == 1
    assert ExpectedMoves(spool.root).under_way() == []
    assert list((spool.root / "moves").glob("*.json")) == []
