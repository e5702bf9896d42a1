"""A run over many studies, by the command in a process of its own that is killed."""

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from core_factory import breast, mammogram, save

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


def started(bundle: Path, *arguments: Any) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "mammoclip_core.commands.predict", "images"]
    environment = {
        **os.environ,
        "MAMMOCLIP_BUNDLE": str(bundle),
        "MAMMOCLIP_ACCEPT": "Apache-2.0 demonstration use",
    }
    return subprocess.Popen([*command, *map(str, arguments)], env=environment)


def finished(bundle: Path, *arguments: Any) -> int:
    return started(bundle, *arguments).wait()


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


def check_killed_run(bundle: Path, folder: Path, tmp_path: Path, kills: tuple[int, int]) -> Rows:
    undisturbed, disturbed = tmp_path / "undisturbed.csv", tmp_path / "disturbed.csv"
    assert finished(bundle, folder, "--out", undisturbed, "--device", "cpu") == 0
    for studies in kills:
        process = started(bundle, folder, "--out", disturbed, "--device", "cpu")
        kill_once_done(process, disturbed, studies)
    assert not disturbed.exists()

    assert finished(bundle, folder, "--out", disturbed, "--device", "cpu") == 0

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


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_run_over_2000_studies_that_is_killed_twice_is_complete(
    random_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    write_studies(folder, 2000)

    rows = check_killed_run(random_bundle, folder, tmp_path, (500, 1200))

    analysed = [row for row in rows if row["level"] == "image" and row["finding"] == "mass"]
    assert len({row["study"] for row in analysed}) == len(analysed) == 2000
