"""Thousands of phantom studies by one command that is killed twice: complete, and how fast."""

import csv
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from parts.networks import make_bundle
from parts.report import Report, Row, machine, show

from mammoclip_core.many_studies.engine_process import EngineOrder, _loaded, answered
from mammoclip_core.many_studies.finding_files import files_in
from mammoclip_core.many_studies.journal import Journal
from mammoclip_core.many_studies.run import STUDIES_OF_A_UNIT

# The package of this name is meant, not the benchmark beside this file.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIZE = (190, 114)
VIEWS = 4
DISTINCT = 25
"""Phantoms that are drawn; the studies repeat them, each in a folder of its own."""

KILLS = (0.25, 0.6)
"""Shares of the studies that are done when the run is ended by kill -9."""


def main(
    studies: Annotated[int, typer.Option(min=40, help="Studies of four pictures.")] = 2000,
    processes: Annotated[int, typer.Option(min=1, help="Engines of the command.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="40 studies: tries the benchmark, no machine.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Run `mammoclip-predict images`, kill it twice, and hold its pictures/s against the engine's.

    Random weights, B0 at 190 x 114: what is around the engine counts the more. A second of a
    processor is counted beside that of a clock, since a busy machine changes it less.

    Example: python benchmarks/many_studies.py --json many_studies.json
    """
    conditions = machine()
    studies = 40 if quick else studies
    with tempfile.TemporaryDirectory() as scratch:
        folder, bundle = Path(scratch) / "archive", Path(scratch) / "bundle"
        write_archive(Path(scratch) / "drawn", folder, studies)
        make_bundle(bundle, "tf_efficientnet_b0", np.random.rand(2, *SIZE).astype(np.float32))
        run = Run(bundle, folder, Path(scratch) / "all.csv", processes)
        for share in KILLS:
            run.kill_when_done(int(share * studies))
        run.finish()
        run.check(studies)
        engine = engine_alone(bundle, folder, Path(scratch) / "journal", studies // 10)
    pictures = VIEWS * run.studies
    rows = [
        Row(
            measure=f"{studies} studies, killed twice: all of them answered once",
            unit="pictures/s of a processor",
            ours=pictures / run.processor_seconds,
            against="the engine alone",
            theirs=engine["of a processor"],
            ratio=pictures / run.processor_seconds / engine["of a processor"],
            details={
                "pictures/s of the clock": pictures / run.seconds,
                "of the engine alone": engine["of the clock"],
            },
        ),
        Row(
            measure="memory of all processes at nine tenths of the run, against one tenth",
            unit="MB",
            ours=run.memory(0.9) / 1e3,
            against="one tenth",
            theirs=run.memory(0.1) / 1e3,
            ratio=run.memory(0.9) / run.memory(0.1),
        ),
    ]
    conditions |= {"load_after": round(os.getloadavg()[0], 2), "processes": processes}
    report = Report(benchmark="many_studies", rows=rows, conditions=conditions)
    show([report], {"pictures/s of the clock": ("of the clock", "{:.1f}".format)})
    if json is not None:
        report.write(json)


def write_archive(drawn: Path, folder: Path, studies: int) -> None:
    """Write folders of four pictures each."""
    from training.phantoms.writing import Order, write_phantoms

    write_phantoms(Order(seed=77, studies=DISTINCT, out=drawn, rows=SIZE[0], columns=SIZE[1]))
    sources = sorted((drawn / "png").iterdir())
    for number in range(studies):
        own = folder / f"study-{number:05d}"
        own.mkdir(parents=True)
        for picture in sorted(sources[number % DISTINCT].iterdir()):
            (own / picture.name).hardlink_to(picture)


class Run:
    """One table of all studies, by as many starts of the command as it takes."""

    def __init__(self, bundle: Path, folder: Path, out: Path, processes: int) -> None:
        self._command = [
            *(sys.executable, "-m", "mammoclip_core.commands.predict", "images", str(folder)),
            *("--bundle", str(bundle), "--out", str(out), "--device", "cpu"),
            *("--processes", str(processes)),
        ]
        self._out = out
        self._memory: list[tuple[int, int]] = []
        self.studies = 0
        self.seconds = 0.0
        self.processor_seconds = 0.0

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill_when_done(self, studies: int) -> None:
        """Start, and end by kill -9 once so many studies are done."""
        with self._started() as process:
            while self._done() < studies:
                if process.poll() is not None:
                    raise RuntimeError("the command ended before it could be killed")
                time.sleep(0.2)
            process.send_signal(signal.SIGKILL)

    def finish(self) -> None:
        """Start once more, wait for the table, and count what this start has taken."""
        before, used, began = self._done(), _used_by_children(), time.perf_counter()
        with self._started() as process:
            while process.poll() is None:
                done = self._done()
                if done > before:
                    self._memory.append((done - before, _resident(process.pid)))
                time.sleep(0.5)
        if process.returncode:
            raise RuntimeError(f"the command ended with status {process.returncode}")
        self.studies = self._memory[-1][0]
        self.seconds = time.perf_counter() - began
        self.processor_seconds = _used_by_children() - used

    def check(self, studies: int) -> None:
        """See that every picture is answered once."""
        with self._out.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if row["level"] == "image"]
        masses = [row["file"] for row in rows if row["finding"] == "mass"]
        if len(masses) != len(set(masses)) or len(masses) != VIEWS * studies:
            raise RuntimeError(f"{len(set(masses))} of {VIEWS * studies} pictures are answered")

    def memory(self, share: float) -> int:
        """Return the KB that all processes held at such a share of the last start's studies."""
        last = self._memory[-1][0]
        return next(held for done, held in self._memory if done >= share * last)

    def _done(self) -> int:
        """Return how many studies the journal holds answers of."""
        journal = self._out.with_name(f"{self._out.name}.unfinished") / "journal.sqlite"
        try:
            with sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=30) as database:
                (count,) = database.execute(
                    "SELECT COUNT(*) FROM study WHERE rows IS NOT NULL"
                ).fetchone()
        except sqlite3.OperationalError:  # it is not there yet, or not any more
            return 0
        return int(count)


def engine_alone(bundle: Path, folder: Path, journal: Path, studies: int) -> dict[str, float]:
    """Have the same engine answer studies in this process, without a journal, and count."""
    order = EngineOrder(bundle=bundle, device="cpu")
    engine = _loaded(order)
    with Journal(journal) as kept:
        kept.agree({})
        for _ in kept.keep_files(files_in([folder])):
            pass
        units = kept.to_do(STUDIES_OF_A_UNIT)
        answered(engine, next(units), order)  # warms up
        count, began, used = 0, time.perf_counter(), time.process_time()
        while count < studies:
            unit = next(units)
            answered(engine, unit, order)
            count += len(unit)
        pictures = VIEWS * count
        return {
            "of the clock": pictures / (time.perf_counter() - began),
            "of a processor": pictures / (time.process_time() - used),
        }


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(pid: int) -> int:
    """Return the KB that a process and all below it hold."""
    total, left = 0, [pid]
    while left:
        one = left.pop()
        try:
            status = Path(f"/proc/{one}/status").read_text()
            left += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)
    return total


if __name__ == "__main__":
    typer.run(main)
