"""Studies an hour against worker processes whose model only takes time, and what bounds them."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from parts.phases import count_delivered
from parts.processes import family, own_bytes, processor_seconds
from parts.report import Report, Row, machine, show
from parts.simulated_worker import SECONDS_VARIABLE
from parts.workers_here import WorkersOfSite, workers_here
from sqlalchemy import select

from deploy.demo.mammograms import StudyToSend, find_studies
from dicom_node.canary.phantom import phantom_study
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Analysis

GOAL = 0.9
"""Of what as many processes would answer that do nothing beside their model."""

MEMORY_GOAL = 300.0
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 900.0

MakeSite = Callable[[Path, Sequence[int]], AbstractContextManager[WorkersOfSite]]
"""Runs a site in a folder, with a worker for each share of processes."""


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
    *,
    apart: Annotated[
        bool,
        typer.Option(
            "--apart",
            help="Give each worker, and each service, a host in a network of its own: as root, "
            "with PostgreSQL, an S3 server and Orthanc; 4 hosts at most.",
        ),
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Send small studies to a site with one node and several workers, and watch it.

    Example: python benchmarks/workers.py --processes 1,8,32 --json workers.json
    """
    os.environ[SECONDS_VARIABLE] = str(model_seconds)
    site: MakeSite = workers_here
    if apart:
        from parts.workers_apart import workers_apart

        site = workers_apart
    points = []
    for count in map(int, processes.split(",")):
        among = min(hosts, count)
        shares = [count // among + (number < count % among) for number in range(among)]
        points.append(measure(count, rounds, shares, site))
    rows = [row for one in points for row in _rows(one, model_seconds)]
    conditions = {**machine(), "model_seconds": model_seconds, "hosts": hosts}
    conditions |= {"rounds": rounds, "apart": apart}
    report = Report(benchmark="workers", rows=rows, conditions=conditions)
    show([report])
    typer.echo("\n".join(_profile(one, model_seconds) for one in points))
    if json is not None:
        report.write(json)


def measure(processes: int, rounds: int, shares: Sequence[int], site: MakeSite) -> Point:
    """Run a site whose workers have such shares of the processes."""
    count = processes * (1 + rounds)
    with tempfile.TemporaryDirectory() as scratch:
        studies = small_studies(Path(scratch) / "studies", count)
        work = Path(scratch) / "work"
        work.mkdir()
        with site(work, shares) as running, closing(Database(running.ledger_url)) as database:
            for study in studies:
                running.send(study)
            # The first one of each process loads what it needs.
            _await(running, database, processes)
            before, began = _spent(running), time.monotonic()
            _await(running, database, count)
            after = _spent(running)
            seconds = time.monotonic() - began
            cycle = statistics.mean(_cycles(database))
            megabytes = max(_megabytes(running))
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


def _cycles(database: Database) -> Iterator[float]:
    """Yield for each process the seconds from the end of an analysis to the end of its next."""
    query = select(Analysis.lease_holder, Analysis.finished_at).order_by(Analysis.finished_at)
    last: dict[str, datetime] = {}
    with database.reading() as session:
        for holder, end in session.execute(query.where(Analysis.finished_at.is_not(None))):
            if holder in last:
                yield (end - last[holder]).total_seconds()
            last[holder] = end


def _await(site: WorkersOfSite, database: Database, count: int) -> None:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while (found := count_delivered(database)) < count:
        site.check()
        if time.monotonic() > give_up_at:
            raise SystemExit(f"{found} of {count} studies were delivered in time")
        time.sleep(_LOOK_SECONDS)


def _spent(site: WorkersOfSite) -> dict[str, float]:
    spent = {name: processor_seconds(pid) for name, pid in site.services.items()}
    spent["workers"] = sum(map(processor_seconds, site.workers))
    return spent


def _megabytes(site: WorkersOfSite) -> Iterator[float]:
    for worker in site.workers:
        for pid in family(worker):
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
