"""What is removed from the spool, whatever was planted there and whatever a place says."""

from pathlib import Path

import pytest

from dicom_node.spool.files.removal import is_being_read, reading, remove_file, remove_folder
from dicom_node.spool.local_disk import Spool


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(b"somebody else's")
    return folder


def put(spool: Spool, place: str) -> Path:
    file = spool.root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"an object")
    return file


@pytest.mark.parametrize("place", ["studies/ab/1.dcm", "set-aside/1.dcm", "results/1/0/0.dcm"])
def test_file_is_removed_and_a_second_time_is_no_error(spool: Spool, place: str) -> None:
    file = put(spool, place)

    spool.discard(place)
    spool.discard(place)

    assert not file.exists()


def test_file_whose_folder_is_gone_is_gone(spool: Spool) -> None:
    spool.discard("studies/nowhere/1.dcm")
    spool.discard_results(77)


@pytest.mark.parametrize(
    "place",
    [
        "../outside/a.dcm",
        "studies/../../outside/a.dcm",
        "studies/../identity.key",
        "studies/./x.dcm",
        "studies//x.dcm",
        "identity.key",
        "ledger.sqlite",
        "incoming/1.dcm",
        "studies",
        "",
        "/etc/hostname",
        "studies/a\0b",
    ],
)
def test_place_that_is_none_of_an_object_is_refused(
    spool: Spool, outside: Path, place: str
) -> None:
    (spool.root / "identity.key").write_bytes(b"k")

    for remove in (remove_file, remove_folder):
        with pytest.raises(ValueError, match="not one of an object"):
            remove(spool.root, place)

    assert (outside / "a.dcm").exists()
    assert (spool.root / "identity.key").exists()


def test_link_is_removed_and_never_what_it_leads_to(spool: Spool, outside: Path) -> None:
    key = spool.root / "identity.key"
    key.write_bytes(b"k")
    for name, target in (("1.dcm", outside / "a.dcm"), ("2.dcm", key)):
        (spool.root / "set-aside" / name).symlink_to(target)

        spool.discard(f"set-aside/{name}")

        assert target.exists()
        assert not (spool.root / "set-aside" / name).is_symlink()


def test_folder_that_is_a_link_is_not_followed(spool: Spool, outside: Path) -> None:
    (spool.root / "studies" / "ab").symlink_to(outside)
    (spool.root / "results" / "5").symlink_to(outside)

    with pytest.raises(ValueError, match="is a link"):
        spool.discard("studies/ab/a.dcm")
    with pytest.raises(ValueError, match="no folder of the spool"):
        spool.discard_results(5)
    spool.drop_results(5, 0)

    assert (outside / "a.dcm").exists()


def test_link_within_the_folder_of_an_analysis_is_not_followed(spool: Spool, outside: Path) -> None:
    put(spool, "results/5/0/0.dcm")
    (spool.root / "results/5/0/away").symlink_to(outside)

    spool.discard_results(5)

    assert not (spool.root / "results/5").exists()
    assert (outside / "a.dcm").exists()


def test_folder_in_the_place_of_a_file_stays(spool: Spool) -> None:
    (spool.root / "set-aside" / "1.dcm").mkdir()

    with pytest.raises(ValueError, match="is a folder"):
        spool.discard("set-aside/1.dcm")


def test_hard_link_keeps_its_other_name(spool: Spool, outside: Path) -> None:
    (spool.root / "set-aside" / "1.dcm").hardlink_to(outside / "a.dcm")

    spool.discard("set-aside/1.dcm")

    assert (outside / "a.dcm").read_bytes() == b"somebody else's"


def test_folder_is_left_only_when_it_is_empty(spool: Spool) -> None:
    put(spool, "studies/ab/1.dcm")
    put(spool, "studies/ab/2.dcm")

    for name in ("1.dcm", "2.dcm"):
        assert (spool.root / "studies/ab").is_dir()
        spool.discard(f"studies/ab/{name}")
        spool.leave(f"studies/ab/{name}")

    assert not (spool.root / "studies/ab").exists()
    spool.leave("set-aside/1.dcm")
    assert (spool.root / "set-aside").is_dir()


@pytest.mark.parametrize("read", ["", "studies", "studies/ab", "studies/ab/1.dcm"])
def test_files_below_a_folder_that_is_read_are_being_read(spool: Spool, read: str) -> None:
    put(spool, "studies/ab/1.dcm")

    with reading(spool.root / read):
        assert is_being_read(spool.root, "studies/ab/1.dcm")

    assert not is_being_read(spool.root, "studies/ab/1.dcm")


def test_attempts_of_an_analysis_are_read_with_their_folder(spool: Spool) -> None:
    put(spool, "results/5/0/0.dcm")

    with reading(spool.root / "results/5/0"):
        assert is_being_read(spool.root, "results/5")
        assert not is_being_read(spool.root, "results/6")
