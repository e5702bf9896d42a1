import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.local_disk import Spool, SpoolInUseError
from dicom_node.spool.names import Receipt, new_association_token, set_aside_place, study_place

ASSOCIATION = "0123456789abcdef"


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kept(spool: Spool, content: bytes = b"content") -> Receipt:
    receipt = spool.receipts.new(ASSOCIATION)
    spool.keep([content], receipt)
    return receipt


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Record what the operating system is asked to flush and to rename, in order."""
    seen: list[tuple[str, Path]] = []
    fsync, rename = os.fsync, Path.rename

    def fsync_told(descriptor: int) -> None:
        seen.append(("flush", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def rename_told(self: Path, target: Path) -> Path:
        seen.append(("rename", target))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync_told)
    monkeypatch.setattr(Path, "rename", rename_told)
    return seen


def test_kept_object_waits_with_its_bytes(spool: Spool) -> None:
    receipt = spool.receipts.new(ASSOCIATION)

    spool.keep([b"one", memoryview(b"two")], receipt)

    assert spool.incoming() == [receipt]
    assert spool.incoming_file(receipt).read_bytes() == b"onetwo"


def test_file_is_flushed_then_named_then_its_folder_flushed(
    spool: Spool, steps: list[tuple[str, Path]]
) -> None:
    receipt = kept(spool)

    verbs = [verb for verb, _ in steps]
    places = [path.parent.name if path.is_file() else path.name for _, path in steps]
    assert verbs == ["flush", "rename", "flush"]
    assert steps[0][1].parent == spool.root / "partial"
    assert (steps[1][1], places[2]) == (spool.incoming_file(receipt), "incoming")


def test_nothing_is_named_before_it_is_flushed(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(os, "fsync", broken)

    with pytest.raises(OutOfResourcesError, match="the disk is broken"):
        kept(spool)

    assert spool.incoming() == []
    assert content_of(spool.root / "partial") == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_is_out_of_resources(spool: Spool, number: int) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"the first part fits"
        raise OSError(number, os.strerror(number))

    with pytest.raises(OutOfResourcesError):
        spool.keep(chunks(), spool.receipts.new(ASSOCIATION))

    assert set(content_of(spool.root)) == {"receipt.clock"}


def test_object_is_not_begun_below_the_watermark(tmp_path: Path) -> None:
    spool = Spool(tmp_path, minimum_free_bytes=2**60)

    def chunks() -> Iterator[bytes]:
        pytest.fail("nothing is read")
        yield b""

    with pytest.raises(OutOfResourcesError, match="minimum_free_bytes"):
        spool.keep(chunks(), spool.receipts.new(ASSOCIATION))


def test_incoming_is_listed_oldest_first(spool: Spool) -> None:
    receipts = [kept(spool) for _ in range(5)]

    assert spool.incoming() == receipts


@pytest.mark.parametrize("name", ["notes.txt", "{receipt}", "{receipt}.tmp", "{receipt}.dcm.dcm"])
def test_what_is_not_named_by_the_spool_is_not_listed(spool: Spool, name: str) -> None:
    foreign = name.format(receipt=spool.receipts.new(ASSOCIATION))
    (spool.root / "incoming" / foreign).write_bytes(b"")

    assert spool.incoming() == []


def test_object_is_filed_away(spool: Spool) -> None:
    receipt = kept(spool)
    place = study_place(receipt, "1.2.3")

    spool.file_away(receipt, place)

    assert spool.file(place).read_bytes() == b"content"
    assert spool.incoming() == []


def test_filing_away_twice_is_filing_away_once(spool: Spool) -> None:
    receipt = kept(spool)
    place = study_place(receipt, "1.2.3")
    spool.file_away(receipt, place)

    spool.file_away(receipt, place)

    assert spool.file(place).read_bytes() == b"content"


def test_filing_away_what_is_lost_fails(spool: Spool) -> None:
    receipt = kept(spool)
    spool.drop(receipt)

    with pytest.raises(FileNotFoundError):
        spool.file_away(receipt, study_place(receipt, "1.2.3"))


def test_what_lies_on_a_disk_that_is_away_is_not_lost(spool: Spool) -> None:
    receipt = kept(spool)
    place = study_place(receipt, "1.2.3")
    away = spool.root.rename(spool.root.with_name("away"))

    with pytest.raises(OutOfResourcesError):
        spool.file_away(receipt, place)
    with pytest.raises(OutOfResourcesError):
        kept(spool)

    away.rename(spool.root)
    spool.file_away(receipt, place)
    assert spool.file(place).is_file()


def test_every_new_folder_is_flushed_into_its_parent(
    spool: Spool, steps: list[tuple[str, Path]]
) -> None:
    spool.keep_result(b"report", 7, 2, "000-measurement_report")

    flushed = [path.relative_to(spool.root) for verb, path in steps if verb == "flush"]
    assert Path("results") in flushed
    assert Path("results/7") in flushed
    assert flushed[-1] == Path("results/7/2")


def test_set_aside_object_comes_back_as_a_new_arrival(spool: Spool) -> None:
    receipt = kept(spool)
    place = set_aside_place(receipt)
    spool.file_away(receipt, place)

    again = spool.take_back(place)

    assert spool.incoming() == [again]
    assert again != receipt
    assert not spool.file(place).exists()


def test_taking_back_what_was_taken_back_gives_nothing(spool: Spool) -> None:
    receipt = kept(spool)
    place = set_aside_place(receipt)
    spool.file_away(receipt, place)
    spool.take_back(place)

    assert spool.take_back(place) is None


def test_result_is_kept_where_the_place_says(spool: Spool) -> None:
    place = spool.keep_result(b"report", 7, 2, "000-measurement_report")

    assert place == "results/7/2/000-measurement_report.dcm"
    assert spool.file(place).read_bytes() == b"report"


@pytest.mark.parametrize("place", ["../x", "/etc/passwd", "studies/../../x", "studies/../.."])
def test_place_outside_the_spool_is_refused(spool: Spool, place: str) -> None:
    with pytest.raises(ValueError, match="outside the spool"):
        spool.file(place)


def test_link_out_of_the_spool_is_refused(spool: Spool) -> None:
    (spool.root / "studies" / "out").symlink_to("/etc")

    with pytest.raises(ValueError, match="outside the spool"):
        spool.file("studies/out/passwd")


def test_second_holder_is_refused(spool: Spool) -> None:
    with spool.owned(), pytest.raises(SpoolInUseError), Spool(spool.root).owned():
        pytest.fail("held twice")


def test_other_process_is_refused(spool: Spool) -> None:
    code = (
        "import sys; from pathlib import Path; from dicom_node.spool.local_disk import Spool\n"
        "with Spool(Path(sys.argv[1])).owned(): pass"
    )

    with spool.owned():
        command = [sys.executable, "-c", code, str(spool.root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "SpoolInUseError" in done.stderr


def test_spool_can_be_held_again_after_it_was_let_go(spool: Spool) -> None:
    with spool.owned():
        pass

    with spool.owned():
        assert (spool.root / "node.lock").is_file()


def test_holder_clears_what_a_killed_one_left_half_written(spool: Spool) -> None:
    (spool.root / "partial" / "incoming-f00").write_bytes(b"half")
    receipt = kept(spool)

    with spool.owned():
        assert content_of(spool.root / "partial") == {}
        assert spool.incoming() == [receipt]


def test_half_written_object_that_goes_meanwhile_keeps_no_node_from_starting(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiving process that outlives its node for a moment completes or drops its object."""
    for name in ("incoming-1-a", "incoming-1-b"):
        (spool.root / "partial" / name).write_bytes(b"half")
    unlink = os.unlink

    def unlink_after_the_receiver(path: Any, **options: Any) -> None:
        for left in (spool.root / "partial").iterdir():
            unlink(left)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", unlink_after_the_receiver)

    with spool.owned():
        assert content_of(spool.root / "partial") == {}


def test_holder_leaves_alone_what_a_worker_is_writing(spool: Spool) -> None:
    (spool.root / "partial" / "result-f00").write_bytes(b"half")

    with spool.owned():
        assert content_of(spool.root / "partial") == {"result-f00": b"half"}


def test_opening_a_spool_keeps_what_is_in_it(spool: Spool) -> None:
    receipt = kept(spool)

    assert Spool(spool.root).incoming() == [receipt]


def _killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make the n-th call to the operating system raise what nothing catches."""
    calls = itertools.count(1)

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(calls) == step:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        return call

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    return monkeypatch.undo


@pytest.mark.parametrize("step", [1, 2, 3])
def test_object_is_whole_or_absent_wherever_the_process_is_killed(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    restore = _killed_at(step, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        kept(spool)
    restore()

    with Spool(spool.root).owned():
        found = content_of(spool.root / "incoming")

    assert list(found.values()) == ([b"content"] if step == 3 else [])
    assert content_of(spool.root / "partial") == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_folder_that_the_disk_cannot_make_is_the_disks_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    spool = Spool(tmp_path)
    receipt = spool.receipts.new(new_association_token())
    spool.keep([b"x"], receipt)

    def no_space(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", no_space)

    with pytest.raises(OutOfResourcesError):
        spool.keep_result(b"x", 1, 1, "report")
    with pytest.raises(OutOfResourcesError):
        spool.file_away(receipt, study_place(receipt, "1.2"))


def test_free_space_is_looked_at_while_an_object_comes(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    def coming() -> Iterator[bytes]:
        yield b"beginning"
        spool._minimum_free_bytes = 2**60
        yield bytes(17_000_000)

    with pytest.raises(OutOfResourcesError, match="minimum_free_bytes"):
        spool.keep(coming(), spool.receipts.new("0" * 16))

    assert not list((tmp_path / "partial").iterdir())


def test_object_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    def coming() -> Iterator[bytes]:
        yield b"beginning"
        raise ValueError("the connection is lost")

    with pytest.raises(ValueError, match="the connection is lost"):
        spool.keep(coming(), spool.receipts.new("0" * 16))

    assert not list((tmp_path / "partial").iterdir())
    assert spool.incoming() == []


def test_half_written_objects_of_one_process_are_cleared(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for process in (71, 72):
        (tmp_path / "partial" / f"incoming-{process}-ab").touch()

    spool.clear_partial(71)

    assert [file.name for file in (tmp_path / "partial").iterdir()] == ["incoming-72-ab"]
