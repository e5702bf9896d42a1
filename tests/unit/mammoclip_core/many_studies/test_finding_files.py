import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from any_account import any_account
from core_factory import WriteInstance, breast

from mammoclip_core.many_studies.finding_files import MOST_PICTURES_OF_A_STUDY, files_in


def write_picture(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
    return path


def test_list_names_files_that_are_missing_or_damaged(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    good = write_instance(breast(), StudyInstanceUID="1.2.1")
    (tmp_path / "cut.dcm").write_bytes(good.read_bytes()[:300])
    names = tmp_path / "studies.txt"
    names.write_text(f"{good}\r\n\n{tmp_path / 'cut.dcm'}\n{tmp_path / 'missing.dcm'}\n{names}\n")

    found = list(files_in([names]))

    assert [(one.path.name, one.study) for one in found] == [
        (good.name, "1.2.1"),
        ("cut.dcm", ""),
        ("missing.dcm", ""),
        ("studies.txt", ""),
    ]
    assert all(one.reason for one in found[1:])


def test_pictures_of_a_folder_are_a_study_unless_there_are_too_many(tmp_path: Path) -> None:
    for number in range(2):
        write_picture(tmp_path / "few" / f"{number}.png")
    for number in range(MOST_PICTURES_OF_A_STUDY + 1):
        write_picture(tmp_path / "many" / f"{number}.png")

    studies = [one.study for one in files_in([tmp_path])]

    assert studies[:2] == [str(tmp_path / "few")] * 2
    assert len(set(studies[2:])) == MOST_PICTURES_OF_A_STUDY + 1


def test_picture_beside_a_dicom_image_is_its_preview(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    write_instance(breast())
    picture = write_picture(tmp_path / "preview.png")

    (reason,) = [one.reason for one in files_in([tmp_path]) if one.path == picture]

    assert reason == "a picture beside DICOM images"


def test_folder_that_shows_its_names_alone_stops_nothing(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    good = write_instance(breast())
    closed = tmp_path / "closed"
    closed.mkdir()
    write_picture(closed / "a.png")
    closed.chmod(0o400)

    with any_account():
        found = {one.path: one.reason for one in files_in([tmp_path])}
    closed.chmod(0o700)

    assert found == {good: "", closed / "a.png": "Permission denied"}


@pytest.mark.parametrize("name", [b"caf\xe9.dcm", "brüste.dcm".encode()])
def test_names_of_any_bytes_are_found(
    name: bytes, write_instance: WriteInstance, tmp_path: Path
) -> None:
    write_instance(breast()).rename(tmp_path / os.fsdecode(name))

    assert [one.path.name for one in files_in([tmp_path])] == [os.fsdecode(name)]


def test_linked_studies_are_found_and_links_to_nothing_named(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    image = write_instance(breast(), StudyInstanceUID="1.2.1")
    other = write_instance(breast(), StudyInstanceUID="1.2.2")
    archive = tmp_path / "archive"
    disk = tmp_path / "disk" / "S2"
    disk.mkdir(parents=True)
    other.rename(disk / "other.dcm")
    archive.mkdir()
    (archive / "a.dcm").symlink_to(image)
    (archive / "S2").symlink_to(disk)
    (archive / "again").symlink_to(archive)
    (archive / "gone.dcm").symlink_to(tmp_path / "nowhere.dcm")
    (archive / ".lock~").symlink_to("nobody@nowhere")

    found = [(one.path.name, one.study, one.reason) for one in files_in([archive])]

    assert found == [
        ("a.dcm", "1.2.1", ""),
        ("gone.dcm", "", "a link to a file that is not there"),
        ("other.dcm", "1.2.2", ""),
    ]


def test_links_into_folders_that_nobody_may_look_into_stop_nothing(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    image = write_instance(breast(), StudyInstanceUID="1.2.1")
    archive, closed, named = (tmp_path / name for name in ("archive", "closed", "archive/named"))
    for folder in (archive, closed / "S1", named / "S2"):
        folder.mkdir(parents=True)
    (archive / "a.dcm").symlink_to(closed / "a.dcm")
    (archive / "S1").symlink_to(closed / "S1")
    image.rename(archive / "z.dcm")
    closed.chmod(0)
    named.chmod(0o400)

    with any_account():
        found = [(one.path.name, one.reason) for one in files_in([archive])]
    closed.chmod(0o700)
    named.chmod(0o700)

    assert ("z.dcm", "") in found
    assert ("a.dcm", "Permission denied") in found
    assert all(reason == "Permission denied" for name, reason in found if name != "z.dcm")
