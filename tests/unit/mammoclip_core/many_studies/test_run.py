"""A run over many studies, by the command in a process of its own that is killed."""

import csv
import multiprocessing
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core_factory import breast, mammogram, save
from PIL import Image
from started_processes import started_process

from mammoclip_core.commands.images import ProgressLines
from mammoclip_core.many_studies.engine_process import EngineOrder
from mammoclip_core.many_studies.journal import JournalError
from mammoclip_core.many_studies.run import NoStudiesError, Progress, analyze_many

Rows = list[dict[str, str]]


def write_studies(folder: Path, count: int) -> None:
    for number in range(count):
        study = folder / f"study-{number:05d}"
        study.mkdir(parents=True)
        save(
            mammogram(
                breast(seed=number % 50),
                StudyInstanceUID=f"1.2.3.{number + 1}",
                SOPInstanceUID=f"1.2.4.{number + 1}",
            ),
            study / "image.dcm",
        )


def started(bundle: Path, *arguments: Any) -> "AbstractContextManager[subprocess.Popen[bytes]]":
    command = [sys.executable, "-m", "mammoclip_core.commands.predict", "images"]
    environment = {
        **os.environ,
        "MAMMOCLIP_BUNDLE": str(bundle),
        "MAMMOCLIP_ACCEPT": "Apache-2.0 demonstration use",
    }
    return started_process([*command, *arguments], env=environment)


def finished(bundle: Path, *arguments: Any) -> int:
    with started(bundle, *arguments) as process:
        return process.wait()


def done_of(out: Path) -> int:
    """Return how many studies the journal holds answers of."""
    journal = out.with_name(f"{out.name}.unfinished") / "journal.sqlite"
    if not journal.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=30) as database:
            return int(
                database.execute("SELECT COUNT(*) FROM study WHERE rows IS NOT NULL").fetchone()[0]
            )
    except sqlite3.OperationalError:  # its tables are not there yet
        return 0


def kill_once_done(process: "subprocess.Popen[bytes]", out: Path, studies: int) -> None:
    while done_of(out) < studies:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def read(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def check_killed_run(
    bundle: Path, folder: Path, tmp_path: Path, kills: tuple[int, int], processes: int = 1
) -> Rows:
    undisturbed, disturbed = tmp_path / "undisturbed.csv", tmp_path / "disturbed.csv"
    how = ("--device", "cpu", "--processes", processes)
    assert finished(bundle, folder, "--out", undisturbed, *how) == 0
    for studies in kills:
        with started(bundle, folder, "--out", disturbed, *how) as process:
            kill_once_done(process, disturbed, studies)
    assert not disturbed.exists()

    assert finished(bundle, folder, "--out", disturbed, *how) == 0

    rows = read(disturbed)
    assert rows == read(undisturbed)
    assert not list(tmp_path.glob("*.unfinished"))
    return rows


def test_run_that_is_killed_twice_ends_with_the_rows_of_an_undisturbed_one(
    random_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    write_studies(folder, 24)
    bad = folder / "study-00003" / "cut.dcm"
    bad.write_bytes((folder / "study-00003" / "image.dcm").read_bytes()[:300])

    rows = check_killed_run(random_bundle, folder, tmp_path, (8, 16))

    analysed = [row for row in rows if row["level"] == "image" and row["finding"] == "mass"]
    assert sorted(row["study"] for row in analysed) == sorted(f"1.2.3.{n + 1}" for n in range(24))
    assert all(row["warning"] and row["bundle"] and row["bundle_version"] for row in rows)
    assert all(row["score"] and row["threshold"] and row["laterality"] == "L" for row in analysed)
    assert {row["view_position"] for row in analysed} == {"MLO"}
    assert [row["reason"] != "" for row in rows if row["file"] == str(bad)] == [True]


def test_pictures_named_from_the_working_folder_have_answers_and_failed_ones_are_counted(
    random_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study").mkdir()
    Image.fromarray(breast(400, 300)).save("study/good.png")
    Image.fromarray(np.zeros((400, 300), np.uint16)).save("study/black.png")
    how = ("--device", "cpu", "--out")

    assert finished(random_bundle, "study", *how, "out.csv") == 0
    assert capfd.readouterr().err.endswith(
        "out.csv: 1 study (0 of them by an earlier run), 1 of 2 images failed,"
        " 0 files passed over\n"
    )
    Path("study/good.png").unlink()
    assert finished(random_bundle, "study", *how, "none.csv") == 1

    statuses = {(row["file"], row["status"]) for row in read(Path("out.csv")) if row["file"]}
    assert statuses == {("study/black.png", "failed"), ("study/good.png", "analysed")}
    assert [row["status"] for row in read(Path("none.csv"))] == ["failed"]


def test_each_file_that_the_table_passes_over_is_counted(
    random_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_studies(tmp_path / "archive", 1)
    image = tmp_path / "archive" / "study-00000" / "image.dcm"
    image.with_name("later.dcm").write_bytes(image.read_bytes())
    for name, counted in (("one.csv", "1 file"), ("two.csv", "2 files")):
        assert finished(random_bundle, tmp_path / "archive", "--out", tmp_path / name) == 0

        assert capfd.readouterr().err.endswith(
            f": 1 study (0 of them by an earlier run), 0 of 1 image failed, {counted} passed over\n"
        )
        assert [row["level"] for row in read(tmp_path / name)].count("file") == int(counted[0])
        image.with_name("empty.png").touch()


def test_engine_processes_that_are_killed_are_replaced_and_no_study_is_lost(
    random_bundle: Path, tmp_path: Path
) -> None:
    write_studies(tmp_path / "archive", 9)  # more than one of two processes takes at once
    order = EngineOrder(bundle=random_bundle, device="cpu")

    def kill(*_: int) -> None:
        for child in multiprocessing.active_children():
            if child.name == "engine":
                child.kill()
                child.join()

    progress = Progress(on_begin=kill)
    summary = analyze_many([tmp_path / "archive"], tmp_path / "out.csv", [order, order], progress)

    answered = [row for row in read(tmp_path / "out.csv") if row["finding"] == "mass"]
    assert summary.studies == 9
    assert {row["status"] for row in answered if row["level"] == "image"} == {"analysed"}
    assert len({row["study"] for row in answered if row["level"] == "image"}) == 9
    assert sum(row["level"] == "image" for row in answered) == 9


def test_path_that_is_not_there_is_refused_before_an_engine_loads(tmp_path: Path) -> None:
    with pytest.raises(NoStudiesError, match=r"archvie: there is no such file or folder"):
        analyze_many([tmp_path, tmp_path / "archvie"], tmp_path / "out.csv", [], Progress())

    assert not list(tmp_path.iterdir())


def test_progress_says_how_long_the_rest_takes() -> None:
    said: list[str] = []
    seconds = iter([0.0, 0.0, 10.0, 20.0, 60.0, 60.0, 60.0])
    lines = ProgressLines(said.append, lambda: next(seconds))

    lines.begin(total=250, done=50)
    lines.studies(8)
    lines.studies(8)  # before half a minute has gone, nothing is said
    lines.studies(14)

    assert said == [
        "250 studies, 50 of them done before",
        "80 of 250 studies, 0.5 a second, about 6 minutes left",
    ]


@pytest.mark.long
def test_full_disk_is_said_in_one_line_and_the_run_goes_on_once_there_is_room(
    random_bundle: Path, tmp_path: Path
) -> None:
    write_studies(tmp_path / "archive", 20)
    order = EngineOrder(bundle=random_bundle, device="cpu")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(*_: int) -> None:
        journal = tmp_path / "out.csv.unfinished" / "journal.sqlite"
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal.stat().st_size, limits[1]))

    try:
        with pytest.raises(JournalError, match=r"cannot be written .*: run again when it can"):
            analyze_many(
                [tmp_path / "archive"], tmp_path / "out.csv", [order], Progress(on_begin=fill)
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out.csv").exists()

    analyze_many([tmp_path / "archive"], tmp_path / "out.csv", [order], Progress())

    answered = [row for row in read(tmp_path / "out.csv") if row["finding"] == "mass"]
    assert sum(row["level"] == "image" for row in answered) == 20


def resident_of(pid: int) -> int:
    """Return the KB that a process and its children hold, those that decode aside."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = [
        line.split()[1]
        for one in (str(pid), *children)
        for line in Path(f"/proc/{one}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    return sum(map(int, own))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_three_times_the_studies_take_no_more_memory(random_bundle: Path, tmp_path: Path) -> None:
    write_studies(tmp_path / "archive", 1300)
    out = tmp_path / "out.csv"
    held = []
    with started(random_bundle, tmp_path / "archive", "--out", out, "--device", "cpu") as process:
        for studies in (400, 1200):
            while done_of(out) < studies:
                assert process.poll() is None
                time.sleep(0.02)
            held.append(resident_of(process.pid))

        assert process.wait() == 0
    assert held[1] < 1.1 * held[0], held


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_run_over_2000_studies_that_is_killed_twice_is_complete(
    random_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    write_studies(folder, 2000)

    rows = check_killed_run(random_bundle, folder, tmp_path, (500, 1200), processes=2)

    analysed = [row for row in rows if row["level"] == "image" and row["finding"] == "mass"]
    assert len({row["study"] for row in analysed}) == len(analysed) == 2000
