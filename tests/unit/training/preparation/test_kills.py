"""Whatever is killed while it prepares: nothing half-made is taken for done, nobody is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from started_processes import started_process

from training.errors import SettingsError
from training.preparation.prepare_folder import Order, prepare_folder
from training.preparation.prepared_folder import JOURNAL_NAME, opened
from training.preparation.processes import ProcessDiedError, worked

ROOT = Path(__file__).parents[4]
SETTINGS = {"format": 1, "mode": "published", "rows": 190, "columns": 114}
DYING = """
import os, signal, sys
from training.commands.train import app
from training.preparation.prepared_folder import PreparedFolder
note = PreparedFolder.note
def dying(self, picture):
    note(self, picture)
    if len(self._pictures) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
PreparedFolder.note = dying
if __name__ == "__main__":
    app(sys.argv[1:])
"""


class Bars:
    """Takes the place of the progress bars, and counts."""

    def __init__(self):
        self.done = 0

    def __call__(self, title, total):
        return self

    def __enter__(self):
        return self.advance

    def __exit__(self, *error):
        return None

    def advance(self):
        self.done += 1


def order(phantoms, out):
    table = phantoms / "breast-level_annotations.csv"
    return Order(source=phantoms / "dicom", out=out, tables=(table,), rows=190, columns=114)


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "png").rglob("*")
            if path.is_file()}  # fmt: skip


@pytest.fixture(scope="module")
def whole(phantoms, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    prepare_folder(order(phantoms, out), Bars())
    return out


def test_killed_run_is_taken_up(phantoms, whole, tmp_path):
    script = tmp_path / "dying.py"
    script.write_text(DYING, encoding="utf-8")
    out = tmp_path / "out"
    table = phantoms / "breast-level_annotations.csv"
    command = [sys.executable, script, "prepare", phantoms / "dicom", "--out", out,
               "--table", table, "--rows", 190, "--columns", 114, "--processes", 2]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with started_process(command, env=environment, stderr=subprocess.DEVNULL) as killed:
        assert killed.wait(120) == -signal.SIGKILL
        assert nobody_is_left_in(killed.pid)
    kept = {path: path.stat().st_mtime_ns for path in (out / "png").rglob("*.png")}
    noted = (out / JOURNAL_NAME).read_text(encoding="utf-8").splitlines()

    outcome = prepare_folder(order(phantoms, out), Bars())

    assert (outcome.made, outcome.kept) == (29, 3)
    assert contents(out) == contents(whole)
    done = [out / "png" / json.loads(line)["image"] for line in noted]
    assert all(path.stat().st_mtime_ns == kept[path] for path in done)


def test_half_made_pictures_are_made_again(phantoms, whole, tmp_path):
    prepare_folder(order(phantoms, tmp_path), Bars())
    first, second, third, *_ = sorted((tmp_path / "png").rglob("*.png"))
    first.write_bytes(first.read_bytes()[:100])
    second.write_bytes(b"")
    third.rename(third.with_name(f"{third.name}.part"))
    journal = tmp_path / JOURNAL_NAME
    journal.write_bytes(journal.read_bytes()[:-40])

    outcome = prepare_folder(order(phantoms, tmp_path), Bars())

    assert outcome.made in {3, 4}  # the line that was cut may be of one of the three
    assert contents(tmp_path) == contents(whole)


def test_second_run_waits_its_turn(phantoms, tmp_path):
    with opened(tmp_path, SETTINGS), pytest.raises(SettingsError, match="another run"):
        prepare_folder(order(phantoms, tmp_path), Bars())


def die_at_seven(number):
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_process_that_dies_takes_no_other_file_along():
    done = dict(worked(die_at_seven, range(12), 2))

    assert isinstance(done.pop(7), ProcessDiedError)
    assert done == {number: number**2 for number in range(12) if number != 7}


def test_full_disk_ends_the_run(phantoms, tmp_path):
    (tmp_path / "png").mkdir()
    (tmp_path / "preparation.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    for patient in (phantoms / "dicom").iterdir():
        (tmp_path / "png" / patient.name).write_text("in the way", encoding="utf-8")

    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        prepare_folder(order(phantoms, tmp_path), Bars())


def nobody_is_left_in(session, deadline_seconds=30):
    """Wait until no process of a session is left."""
    end = time.monotonic() + deadline_seconds
    while any(_session_of(int(path.name)) == session for path in Path("/proc").glob("[0-9]*")):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _session_of(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
