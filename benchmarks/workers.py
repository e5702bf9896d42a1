"""Studies an hour against worker processes whose model only takes time, and what bounds them."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from _phases import count_delivered
from _processes import family, own_bytes, processor_seconds
from _report import Report, Row, machine, show
from _sample_studies import send
from _simulated_worker import SECONDS_VARIABLE
from sqlalchemy import text

from deploy.demo.mammograms import StudyToSend, find_studies
from deploy.demo.system import RunningSystem, running_system
from dicom_node.canary.phantom import phantom_study
from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database

GOAL = 0.9
"""Of what as many processes would answer that do nothing beside their model."""

MEMORY_GOAL = 300.0
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What some worker processes did.

    Attributes
    ----------
    an_hour : studies
    spent : processor seconds a study, of each part of the site
    megabytes : the largest process of a worker, with its share of what it shares
    cores : those that the whole site kept busy
    """

    processes: int
    an_hour: float
    spent: dict[str, float]
    megabytes: float
    cores: float


def main(
    processes: Annotated[
        str, typer.Option(help="Numbers of worker processes to try, with commas.")
    ] = "8",
    hosts: Annotated[int, typer.Option(min=1, help="Workers that share them, as hosts do.")] = 4,
    model_seconds: Annotated[
        float, typer.Option(min=0.1, help="Time that the model takes for a study.")
    ] = 60,
    rounds: Annotated[int, typer.Option(min=1, help="Studies for each process.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Send small studies to a site with one node and several workers, and watch it.

    Example: python benchmarks/workers.py --processes 1,8,32 --json workers.json
    """
    os.environ[SECONDS_VARIABLE] = str(model_seconds)
    points = [measure(int(one), min(hosts, int(one)), rounds) for one in processes.split(",")]
    rows = [row for one in points for row in _rows(one, model_seconds)]
    conditions = {**machine(), "model_seconds": model_seconds, "hosts": hosts, "rounds": rounds}
    report = Report(benchmark="workers", rows=rows, conditions=conditions)
    show([report])
    typer.echo("\n".join(_profile(one, model_seconds) for one in points))
    if json is not None:
        report.write(json)


def measure(processes: int, hosts: int, rounds: int) -> Point:
    """Run a site with so many worker processes on so many workers."""
    count = processes * (1 + rounds)
    shares = [processes // hosts + (number < processes % hosts) for number in range(hosts)]
    with tempfile.TemporaryDirectory() as scratch:
        studies = small_studies(Path(scratch) / "studies", count)
        work = Path(scratch) / "work"
        work.mkdir()
        with running_system(work, worker=_command(0, shares[0])) as system:
            names = ["worker"]
            for number, share in enumerate(shares[1:], start=1):
                names.append(f"worker-{number}")
                environment = {**os.environ, "MAMMOCLIP_CONFIG": str(work / "mammoclip.toml")}
                system.children.start(names[-1], _command(number, share), environment)
            with closing(Database(load_settings(work / "mammoclip.toml").ledger_url)) as database:
                for study in studies:
                    # While so many processes load at once, an answer may come too late.
                    send(study, system.node_port, attempts=5)
                # The first one of each process loads what it needs.
                _await(system, database, processes)
                before, began = _spent(system, names), time.monotonic()
                _await(system, database, count)
                after = _spent(system, names)
                seconds = time.monotonic() - began
                cycle = statistics.mean(_cycles(database))
                megabytes = max(_megabytes(system, names))
    measured = count - processes
    return Point(
        processes=processes,
        an_hour=3600 * processes / cycle,
        spent={name: (after[name] - before[name]) / measured for name in before},
        megabytes=megabytes,
        cores=sum(after[name] - before[name] for name in before) / seconds,
    )


def small_studies(folder: Path, count: int) -> list[StudyToSend]:
    """Write studies of four small images under UIDs of their own."""
    for number in range(count):
        for image, dataset in enumerate(phantom_study()):
            uid = f"1.2.826.0.1.3680043.8.498.7.{number}"
            dataset.PatientID = f"SMALL-{number}"
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, f"{uid}.1"
            dataset.SOPInstanceUID = f"{uid}.1.{image}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
            file = folder / str(number) / f"{image}.dcm"
            file.parent.mkdir(parents=True, exist_ok=True)
            dataset.save_as(file, enforce_file_format=True)
    studies, _ = find_studies([folder])
    return studies


def _command(number: int, processes: int) -> list[str]:
    script = Path(__file__).with_name("_simulated_worker.py")
    name = f"host{number}@{os.uname().nodename}"
    command = [sys.executable, str(script), "worker", "--hostname", name]
    return [*command, "--concurrency", str(processes)]


def _cycles(database: Database) -> Iterator[float]:
    """Yield for each process the seconds from the end of an analysis to the end of its next."""
    query = text(
        "SELECT lease_holder, julianday(finished_at) * 86400 FROM analyses ORDER BY finished_at"
    )
    last: dict[str, float] = {}
    with database.reading() as session:
        for holder, end in session.execute(query):
            if holder in last:
                yield end - last[holder]
            last[holder] = end


def _await(system: RunningSystem, database: Database, count: int) -> None:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while (found := count_delivered(database)) < count:
        system.children.check()
        if time.monotonic() > give_up_at:
            raise SystemExit(f"{found} of {count} studies were delivered in time")
        time.sleep(_LOOK_SECONDS)


def _spent(system: RunningSystem, workers: Sequence[str]) -> dict[str, float]:
    spent = {
        name: processor_seconds(system.children.pid(name)) for name in ("broker", "archive", "node")
    }
    spent["workers"] = sum(processor_seconds(system.children.pid(name)) for name in workers)
    return spent


def _megabytes(system: RunningSystem, workers: Sequence[str]) -> Iterator[float]:
    for name in workers:
        for pid in family(system.children.pid(name)):
            try:
                yield own_bytes(pid) / 1e6
            except OSError:  # a decoding child that has just ended
                continue


def _rows(point: Point, model_seconds: float) -> Iterator[Row]:
    ideal = 3600 * point.processes / model_seconds
    yield Row(
        measure=f"{point.processes} worker processes",
        unit="studies/h",
        ours=point.an_hour,
        against="linear",
        theirs=ideal,
        ratio=point.an_hour / ideal,
    )
    yield Row(
        measure="- largest process of a worker",
        unit="MB",
        ours=point.megabytes,
        against="limit",
        theirs=MEMORY_GOAL,
    )
    for name, seconds in point.spent.items():
        yield Row(measure=f"- processor time a study: {name}", unit="s", ours=seconds)


def _profile(point: Point, model_seconds: float) -> str:
    """Say in words how much of the machine so many processes take, and where it ends."""
    cores = os.cpu_count() or 1
    each = sum(point.spent.values())
    most = sorted(point.spent.items(), key=lambda one: -one[1])
    parts = ", ".join(f"{name} {seconds / each:.0%}" for name, seconds in most)
    full = cores * model_seconds / each
    return (
        f"{point.processes} processes: {point.cores:.2f} of {cores} cores busy; {each:.2f} s of "
        f"processor a study ({parts}): with a model of {model_seconds:g} s these cores are full "
        f"at {full:.0f} processes."
    )


if __name__ == "__main__":
    typer.run(main)
