"""Files that a table gives by their paths are found however it parts the folders."""

from pathlib import Path

import pytest

from training.data.image_files import find_listed, find_named, name_below
from training.errors import TableError

TABLE = Path("own.csv")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures" / "V7").mkdir(parents=True)
    (tmp_path / "pictures" / "V7" / "a.png").touch()
    (tmp_path / "secret.png").touch()
    return tmp_path / "pictures"


def test_path_of_windows_is_found(folder):
    assert find_listed([folder], [r"V7\a.png"], TABLE) == (folder / "V7" / "a.png",)


def test_file_whose_name_has_a_backslash_counts_first(folder):
    (folder / r"V7\a.png").touch()

    assert find_listed([folder], [r"V7\a.png"], TABLE) == (folder / r"V7\a.png",)


def test_path_of_windows_out_of_the_folder_is_refused(folder):
    with pytest.raises(TableError, match="are not under"):
        find_listed([folder], [r"..\secret.png"], TABLE)


def test_linked_folders_and_pictures_are_found(folder, tmp_path):
    """A data set is often links to the disks where its pictures are."""
    disk = tmp_path / "disk" / "V9"
    disk.mkdir(parents=True)
    (disk / "b.png").touch()
    (folder / "V9").symlink_to(disk)
    (folder / "c.png").symlink_to(disk / "b.png")
    (tmp_path / "set").symlink_to(folder)

    listed = find_listed([tmp_path / "set"], ["V7/a.png", "V9/b.png", "c.png"], TABLE)
    named = find_named([folder], ["V7", "V9", ""], ["a", "b", "c"], TABLE)

    assert [name_below(tmp_path / "set", file) for file in listed] == [
        "V7/a.png",
        "V9/b.png",
        "c.png",
    ]
    assert all(file.is_file() for file in listed)
    assert named == (folder / "V7/a.png", folder / "V9/b.png", folder / "c.png")


def test_whole_path_is_found_below_a_linked_folder(folder, tmp_path):
    (tmp_path / "set").symlink_to(folder)

    by_link, by_place = (
        find_listed([tmp_path / "set"], [str(root / "V7" / "a.png")], TABLE)
        for root in (tmp_path / "set", folder)
    )

    assert by_link[0].samefile(by_place[0])


def test_path_out_of_a_linked_folder_is_refused(folder, tmp_path):
    (folder / "link").symlink_to(folder / "V7")

    with pytest.raises(TableError, match="are not under"):
        find_listed([folder], ["link/../../secret.png"], TABLE)
