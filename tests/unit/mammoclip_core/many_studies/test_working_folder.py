"""Runs over relative paths, which go on in the working folder in which they began."""

import csv
from pathlib import Path

import pytest
from core_factory import WriteInstance, breast

from mammoclip_core.many_studies.engine_process import EngineOrder
from mammoclip_core.many_studies.finding_files import FoundFile
from mammoclip_core.many_studies.journal import Journal, JournalError
from mammoclip_core.many_studies.run import Progress, analyze_many


class KilledError(Exception):
    """Stands for a kill."""


def kill(*_: int) -> None:
    raise KilledError


def test_list_of_relative_paths_goes_on_where_it_began_and_nowhere_else(
    random_bundle: Path,
    write_instance: WriteInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, names, out = write_instance(breast()), tmp_path / "list.txt", tmp_path / "out.csv"
    names.write_text(f"{image.name}\n")
    orders = [EngineOrder(bundle=random_bundle, device="cpu")]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KilledError):
        analyze_many([names], out, orders, Progress(on_begin=kill))

    monkeypatch.chdir("elsewhere")
    other = rf"another working folder \({tmp_path}, now {tmp_path}/elsewhere\): run with the same"
    with pytest.raises(JournalError, match=other):
        analyze_many([names], out, orders, Progress())
    monkeypatch.chdir(tmp_path)
    summary = analyze_many([names], out, orders, Progress())

    assert (summary.answered, summary.unused) == (1, 0)
    with out.open(newline="", encoding="utf-8") as stream:
        assert {row["file"] for row in csv.DictReader(stream)} == {image.name, ""}


def found_in(folder: Path, *paths: str) -> None:
    """Search, as from the working folder."""
    with Journal(folder) as journal:
        journal.require_same_working_folder()
        list(journal.keep_files(FoundFile(path=Path(path), study=path) for path in paths))


def test_run_over_absolute_paths_goes_on_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in(tmp_path / "run", "/archive/a.dcm")
    monkeypatch.chdir(tmp_path)

    found_in(tmp_path / "run")


def test_search_that_found_nothing_begins_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    found_in(tmp_path / "run", "/archive/a.dcm", "b.dcm")
    found_in(tmp_path / "run")
    monkeypatch.chdir("/")

    with pytest.raises(JournalError, match=rf"another working folder \({tmp_path}, now /\)"):
        found_in(tmp_path / "run")
