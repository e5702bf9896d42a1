"""Folders that links lead to are walked as if they lay there, each once."""

import pytest

from mammoclip_core.images.folder_walk import paths_below, walk_folder


@pytest.fixture
def disks(tmp_path):
    """A data set that is links to two disks."""
    for name in ("disk1/A/1.dcm", "disk1/B/2.dcm", "disk2/C/3.dcm", "set/own/4.dcm"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(folder):
    return [path.relative_to(folder).as_posix() for path in paths_below(folder)]


def test_linked_folders_and_files_are_found_below_the_link(disks):
    (disks / "set/first").symlink_to(disks / "disk1")
    (disks / "set/C").symlink_to("../disk2/C")
    (disks / "set/5.dcm").symlink_to(disks / "disk2/C/3.dcm")

    assert names(disks / "set") == [
        "5.dcm",
        "C/3.dcm",
        "first/A/1.dcm",
        "first/B/2.dcm",
        "own/4.dcm",
    ]


def test_root_may_itself_be_a_link(disks):
    (disks / "link").symlink_to(disks / "disk1")

    assert names(disks / "link") == ["A/1.dcm", "B/2.dcm"]


def test_links_that_lead_back_end(disks):
    (disks / "set/own/up").symlink_to(disks / "set")
    (disks / "set/above").symlink_to(disks)
    (disks / "set/self").symlink_to("self")
    (disks / "set/C").symlink_to(disks / "disk2/C")
    (disks / "disk2/C/back").symlink_to(disks / "set")
    (disks / "disk2/C/all").symlink_to(disks / "disk2")

    assert names(disks / "set") == ["C/3.dcm", "own/4.dcm", "self"]


@pytest.mark.parametrize("inner_first", [True, False])
def test_what_two_links_lead_to_is_found_once(disks, inner_first):
    inner, outer = ("a", "b") if inner_first else ("b", "a")
    (disks / "set" / inner).symlink_to(disks / "disk1/A")
    (disks / "set" / outer).symlink_to(disks / "disk1")
    (disks / "set/again").symlink_to(disks / "set/own")

    found = names(disks / "set")

    assert sorted(name.rsplit("/", 1)[1] for name in found) == ["1.dcm", "2.dcm", "4.dcm"]
    assert "own/4.dcm" in found


def test_left_out_folders_are_not_entered(disks):
    (disks / "set/.hidden").symlink_to(disks / "disk1")

    walked = walk_folder(disks / "set", is_left_out=lambda folder: folder.name.startswith("."))

    assert [folder.name for folder, _ in walked] == ["set", "own"]
