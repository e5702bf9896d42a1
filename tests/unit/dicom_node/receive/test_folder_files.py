"""Everything in a folder is told apart: objects, and what is passed over with its reason."""

import os
from pathlib import Path

import pytest
from any_account import any_account
from files_on_disk import dicom_file, media_directory, on_disk
from node_factory import STUDY_UID, encoded, mammogram
from PIL import Image

from dicom_node.receive.files.folder_files import ObjectFile, PassedOver, files_of


def passed_over(folder: Path) -> dict[str, tuple[str, bool]]:
    found = [one for one in files_of([folder]) if isinstance(one, PassedOver)]
    return {one.path.name: (one.reason, one.is_amiss) for one in found}


def objects(folder: Path) -> list[ObjectFile]:
    return [one for one in files_of([folder]) if isinstance(one, ObjectFile)]


def test_object_is_found_with_its_study_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "IM000001").write_bytes(dicom_file(mammogram()))

    (found,) = objects(tmp_path)

    assert (found.path.name, found.study_instance_uid) == ("IM000001", STUDY_UID)


def test_what_is_beside_the_images_is_named_with_its_reason(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "thumbnail.jpg")
    (tmp_path / "AUTORUN.INF").write_text("[autorun]")
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "renamed.dcm").write_text("a letter")
    (tmp_path / "bare.img").write_bytes(encoded(mammogram()))
    (tmp_path / "cut.dcm").write_bytes(dicom_file(mammogram())[:155])
    (tmp_path / "._0001.dcm").write_bytes(b"\0\x05\x16\x07")

    found = passed_over(tmp_path)

    assert found["thumbnail.jpg"] == (
        "a picture (JPEG), such as a thumbnail, and no DICOM object",
        False,
    )
    assert found["AUTORUN.INF"] == ("not a DICOM file", False)
    assert found["empty.dcm"] == ("an empty file", True)
    assert found["renamed.dcm"] == ("not a DICOM file", True)
    assert found["bare.img"][0].startswith("a DICOM data set without preamble")
    assert found["bare.img"][1]
    assert found["cut.dcm"] == ("it ends within its file meta information", True)
    assert found["._0001.dcm"] == ("a file of macOS beside another one", False)


def test_folder_that_shows_its_names_alone_stops_nothing(tmp_path: Path) -> None:
    closed = on_disk(tmp_path / "closed", mammogram())
    (closed / "within").mkdir()
    closed.chmod(0o400)

    with any_account():
        found = passed_over(tmp_path)
    closed.chmod(0o700)

    assert found["0000.dcm"] == ("cannot be read: Permission denied", True)
    assert found["within"] == ("cannot be read: Permission denied", True)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_dicomdir_is_named_and_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside.dcm").write_bytes(dicom_file(mammogram()))
    disc = on_disk(tmp_path / "disc", mammogram())
    listing = media_directory("../outside.dcm", "../../etc/passwd", "0000.dcm")
    (disc / "DICOMDIR").write_bytes(listing)

    assert passed_over(disc) == {"DICOMDIR": ("a DICOMDIR, which only lists other files", False)}
    assert [one.path.name for one in objects(disc)] == ["0000.dcm"]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside.dcm").write_bytes(dicom_file(mammogram()))
    disc = on_disk(tmp_path / "disc", mammogram())
    (disc / "inside").symlink_to("0000.dcm")
    (disc / "out").symlink_to("../outside.dcm")
    (disc / "above").symlink_to("..")
    (disc / "nothing").symlink_to("gone.dcm")

    assert [one.path.name for one in objects(disc)] == ["0000.dcm", "inside"]
    assert set(passed_over(disc)) == {"out", "above", "nothing"}


@pytest.mark.timeout(20)
def test_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")

    assert passed_over(tmp_path) == {"pipe.dcm": ("no file but a pipe, socket or device", False)}


def test_file_that_is_gone_is_named(tmp_path: Path) -> None:
    (found,) = files_of([tmp_path / "gone.dcm"])

    assert isinstance(found, PassedOver)
    assert (found.reason, found.is_amiss) == ("cannot be read: No such file or directory", True)
