"""What the journal keeps of a search that did not end, or that found no study."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mammoclip_core.many_studies.finding_files import FoundFile
from mammoclip_core.many_studies.journal import Journal

GOOD = FoundFile(path=Path("/archive/a.dcm"), study="1.2.3")
CLOSED = FoundFile(path=Path("/archive"), reason="Permission denied")
CUT = FoundFile(path=Path("/archive/a.dcm"), reason="cut off")


class KilledError(Exception):
    """Stands for a kill."""


def until_killed(*found: FoundFile) -> Iterator[FoundFile]:
    for _ in range(500):  # more than are written at once
        yield from found
    raise KilledError


def search(folder: Path, found: Iterator[FoundFile]) -> tuple[int, int]:
    """Search, and return the number of studies and that of files passed over."""
    with Journal(folder) as journal:
        list(journal.keep_files(found))
        return journal.studies, journal.unused


@pytest.mark.parametrize("before", [(), (CLOSED,), (CLOSED, CUT)])
def test_search_without_a_study_is_forgotten(tmp_path: Path, before: tuple[FoundFile]) -> None:
    assert search(tmp_path / "run", iter(before)) == (0, len(before))

    assert search(tmp_path / "run", iter([GOOD])) == (1, 0)


def test_search_that_was_killed_begins_again(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        search(tmp_path / "run", until_killed(CLOSED, CUT))

    assert search(tmp_path / "run", iter([GOOD])) == (1, 0)


def test_search_that_found_studies_is_kept(tmp_path: Path) -> None:
    assert search(tmp_path / "run", iter([GOOD, CLOSED])) == (1, 1)

    assert search(tmp_path / "run", iter([])) == (1, 1)
