import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from mammoclip_core.many_studies.finding_files import FoundFile
from mammoclip_core.many_studies.journal import Journal, JournalError, packed


def found(studies: int) -> Iterator[FoundFile]:
    for number in range(studies * 4):
        yield FoundFile(path=Path(f"/archive/{number}.dcm"), study=f"1.2.{number // 4}")


def memory_of(folder: Path, studies: int) -> int:
    """Return the most bytes of Python's that a run without engine takes."""
    tracemalloc.start()
    with Journal(folder) as journal:
        for _ in journal.keep_files(found(studies)):
            pass
        for unit in journal.to_do(8):
            rows = [{"study": study.study, "reason": "x" * 500} for study in unit]
            journal.finish([(study.number, packed(rows)) for study in unit])
        assert sum(1 for _ in journal.rows()) >= studies
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_studies(tmp_path: Path) -> None:
    memory_of(tmp_path / "warm", 300)

    few, three_times = (memory_of(tmp_path / str(n), n) for n in (400, 1200))

    assert three_times < 1.1 * few + 100_000  # a study of 4 names takes 1 KB: 800 more would show


def test_another_setting_is_refused_by_its_name(tmp_path: Path) -> None:
    with Journal(tmp_path / "run") as journal:
        journal.agree({"bundle": "b5"})

    with Journal(tmp_path / "run") as journal, pytest.raises(JournalError, match="another bundle"):
        journal.agree({"bundle": "b2"})


def test_two_runs_do_not_share_a_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "run"), pytest.raises(JournalError, match="in use"):
        Journal(tmp_path / "run")


def test_studies_that_ended_a_process_come_alone(tmp_path: Path) -> None:
    with Journal(tmp_path / "run") as journal:
        for _ in journal.keep_files(found(3)):
            pass
        (unit,) = journal.to_do(8)
        journal.failed(unit)

        assert [len(one) for one in journal.to_do(8)] == [1, 1, 1]
