"""Files on a disk get into the spool by the promises and checks of C-STORE."""

import os
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from files_on_disk import dicom_file, on_disk
from node_factory import STUDY_UID, Reception, encoded, four_views, mammogram

from dicom_node.errors import UnreadableFileError
from dicom_node.facts.priority import Priority
from dicom_node.receive.files.file_intake import file_intake, prepare_spool
from dicom_node.receive.files.submission import Submission, files_to_submit, submit_files
from dicom_node.receive.listener import open_associations
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import NoPlaceError
from dicom_node.spool.other_writers import ForeignAccountError

CT = "1.2.840.10008.5.1.4.1.1.2"


def submitted(folder: Path, spool: Spool, **options: Any) -> Submission:
    settings = ReceiveSettings(**{k: options.pop(k) for k in list(options) if k != "priority"})
    prepare_spool(spool)
    with file_intake(
        settings, spool, origin="submit", calling_ae_title="SUBMIT", **options
    ) as intake:
        return submit_files(files_to_submit([folder]), intake)


def test_study_is_registered_as_if_it_had_been_sent(reception: Reception, tmp_path: Path) -> None:
    done = submitted(on_disk(tmp_path / "disc", *four_views()), reception.spool)
    reception.registrar.register_all()

    assert [(one.study_instance_uid, one.files) for one in done.studies] == [(STUDY_UID, 4)]
    assert done.is_whole
    assert {row.calling_ae_title for row in reception.instances()} == {"SUBMIT"}
    assert {row.state for row in reception.instances()} == {"registered"}
    assert len(reception.instances()) == 4


def test_data_set_is_kept_as_it_is_behind_a_preamble_of_the_node(
    spool: Spool, tmp_path: Path
) -> None:
    dataset = mammogram()
    program = b"\x7fELF" + bytes(124) + dicom_file(dataset)[128:]
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "image").write_bytes(program)

    submitted(tmp_path / "disc", spool)

    (receipt,) = spool.incoming()
    kept = spool.incoming_file(receipt).read_bytes()
    assert kept.startswith(bytes(128) + b"DICM")
    assert kept.endswith(encoded(dataset))


def test_what_was_submitted_before_does_no_harm(reception: Reception, tmp_path: Path) -> None:
    disc = on_disk(tmp_path / "disc", *four_views())

    for _ in range(2):
        assert submitted(disc, reception.spool).is_whole
        reception.registrar.register_all()

    assert len(reception.instances()) == 4
    assert reception.study().revision == 0


@pytest.mark.parametrize(
    ("priority", "expected"), [(Priority.STAT, 2), (Priority.OFF_PEAK, 0), (None, 1)]
)
def test_study_gets_the_priority_that_is_asked_for(
    reception: Reception, tmp_path: Path, priority: Priority | None, expected: int
) -> None:
    images = four_views(RequestedProcedurePriority="ROUTINE")
    submitted(on_disk(tmp_path / "disc", *images), reception.spool, priority=priority)
    reception.registrar.register_all()

    assert reception.study().priority == expected


def test_files_of_a_study_are_submitted_behind_each_other(tmp_path: Path) -> None:
    other = {"StudyInstanceUID": "1.2.3"}
    mixed = [mammogram(), mammogram(**other), mammogram(), mammogram(**other)]

    found = files_to_submit([on_disk(tmp_path, *mixed)])

    assert {uid: [one.path.name for one in files] for uid, files in found.studies.items()} == {
        STUDY_UID: ["0000.dcm", "0002.dcm"],
        "1.2.3": ["0001.dcm", "0003.dcm"],
    }


@pytest.mark.filterwarnings("ignore:The value length")
def test_what_no_association_could_bring_is_refused_and_the_rest_goes_on(
    spool: Spool, tmp_path: Path
) -> None:
    disc = on_disk(tmp_path / "disc", mammogram(SOPClassUID=CT))
    on_disk(disc, mammogram(), TransferSyntaxUID="1.2.3.4")
    on_disk(disc, mammogram(), MediaStorageSOPInstanceUID="1." + "2" * 80)
    on_disk(disc, mammogram(PixelData=bytes(20_000)), mammogram())

    done = submitted(disc, spool, maximum_object_bytes=10_000)

    assert [one.reason for one in done.refused] == [
        "CT Image Storage is not taken: no study of mammograms holds it",
        "its transfer syntax is none of the standard's (PS3.5)",
        "the SOP Instance UID has 82 characters, or such as no UID has",
        "the object is larger than receive.maximum_object_bytes",
    ]
    assert [one.files for one in done.studies] == [1]
    assert not done.is_whole
    assert len(spool.incoming()) == 1
    assert list((spool.root / "partial").iterdir()) == []


def test_full_disk_stops_it_and_says_how_much_is_left(spool: Spool, tmp_path: Path) -> None:
    disc = on_disk(tmp_path / "disc", *four_views())
    full = Spool(spool.root, minimum_free_bytes=shutil.disk_usage(tmp_path).total)

    done = submitted(disc, full)

    assert (done.left, done.is_whole, done.studies) == (4, False, [])
    assert "less free disk space" in done.stopped


def test_file_that_is_gone_meanwhile_is_refused_and_the_rest_goes_on(
    spool: Spool, tmp_path: Path
) -> None:
    found = files_to_submit([on_disk(tmp_path / "disc", *four_views())])
    (tmp_path / "disc" / "0001.dcm").unlink()

    with file_intake(
        ReceiveSettings(), spool, origin="submit", calling_ae_title="SUBMIT"
    ) as intake:
        done = submit_files(found, intake)

    assert [one.reason for one in done.refused] == ["cannot be read: No such file or directory"]
    assert [one.files for one in done.studies] == [3]


def test_disc_that_cannot_be_read_is_not_taken_for_a_full_spool(
    spool: Spool, tmp_path: Path
) -> None:
    found = files_to_submit([on_disk(tmp_path / "disc", mammogram(), mammogram())])
    (first, second) = found.studies[STUDY_UID]

    class ScratchedDisc:
        def __init__(self, content: bytes) -> None:
            self._content = content

        def read(self, size: int) -> bytes:
            if not self._content:
                raise OSError(5, "Input/output error")
            part, self._content = self._content[:size], self._content[size:]
            return part

    with file_intake(
        ReceiveSettings(), spool, origin="submit", calling_ae_title="SUBMIT"
    ) as intake:
        with pytest.raises(UnreadableFileError, match="Input/output error"):
            intake.take(ScratchedDisc(first.path.read_bytes()))
        intake.take(BytesIO(second.path.read_bytes()))

    assert len(spool.incoming()) == 1


def test_study_waits_for_the_rest_of_a_submission(spool: Spool, tmp_path: Path) -> None:
    disc = on_disk(tmp_path / "disc", mammogram())
    with file_intake(
        ReceiveSettings(), spool, origin="submit", calling_ae_title="SUBMIT"
    ) as intake:
        submit_files(files_to_submit([disc]), intake)
        (receipt,) = spool.incoming()
        (latest,) = open_associations(ReceiveSettings(), spool).latest_objects()

    assert (latest.association, latest.study_instance_uid) == (receipt.association, STUDY_UID)
    assert open_associations(ReceiveSettings(), spool).tokens() == frozenset()


def test_no_more_than_the_settings_allow_at_once(spool: Spool, tmp_path: Path) -> None:
    with (
        file_intake(ReceiveSettings(), spool, origin="submit", calling_ae_title="SUBMIT"),
        pytest.raises(NoPlaceError),
    ):
        submitted(tmp_path, spool, maximum_associations=1)


def test_another_account_is_told_before_anything_is_written(spool: Spool, tmp_path: Path) -> None:
    os.chown(spool.root / "incoming", 54321, -1)

    with pytest.raises(ForeignAccountError, match="user ID 54321"):
        submitted(on_disk(tmp_path / "disc", mammogram()), spool)

    assert spool.incoming() == []
    assert list((spool.root / "partial").iterdir()) == []


def test_half_written_files_of_a_killed_submission_are_deleted_when_they_are_old(
    spool: Spool, tmp_path: Path
) -> None:
    old, young = (spool.root / "partial" / f"taken-{name}" for name in ("1-old", "2-young"))
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))

    submitted(on_disk(tmp_path / "disc", mammogram()), spool)

    assert (old.exists(), young.exists()) == (False, True)


_KILLED = """
import os, sys
from pathlib import Path
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.receive.files.submission import files_to_submit, submit_files
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool

left = [int(sys.argv[3])]

def kill_after_some():
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)

spool = Spool(Path(sys.argv[1]))
with file_intake(ReceiveSettings(), spool, origin="submit", calling_ae_title="SUBMIT") as intake:
    submit_files(files_to_submit([Path(sys.argv[2])]), intake, on_file=kill_after_some)
"""


def test_submission_that_was_killed_is_whole_once_it_is_repeated(
    reception: Reception, tmp_path: Path
) -> None:
    disc = on_disk(tmp_path / "disc", *four_views())
    command = [sys.executable, "-c", _KILLED, str(reception.spool.root), str(disc), "2"]

    killed = subprocess.run(command, check=False, env=os.environ)
    half = len(reception.spool.incoming())
    submitted(disc, reception.spool)
    reception.registrar.register_all()

    assert (killed.returncode, half) == (-9, 2)
    assert len(reception.instances()) == 4
