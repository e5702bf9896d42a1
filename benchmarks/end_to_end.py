"""Where the time of a study goes, how many a machine answers, and how workers share it."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from parts.end_to_end_site import MeasuredSite, celery_worker, measured_site, waiting_worker
from parts.phases import engine_share, medians
from parts.report import Report, Row, machine, show
from parts.sample_studies import send
from parts.waiting_worker import SECONDS_VARIABLE

from deploy.archive import orthanc_program


def main(  # noqa: PLR0917  their names are the command's options
    studies: Annotated[
        int, typer.Option(min=0, help="Studies of four images to send one after the other.")
    ] = 10,
    together: Annotated[
        int, typer.Option(min=0, help="Studies to send as fast as the node takes them.")
    ] = 60,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes that share those.")] = 2,
    waiting_workers: Annotated[
        int, typer.Option(min=0, help="Worker processes whose model only takes time.")
    ] = 8,
    model_seconds: Annotated[
        float, typer.Option(min=1, help="Time that their model takes for a study.")
    ] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="Studies for each of them.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Send copies of the sample study to a whole site, and read the ledger's own times.

    Each of the three parts is left out where its number is 0.

    Example: python benchmarks/end_to_end.py --studies 10 --json end_to_end.json
    """
    conditions = {
        **machine(),
        "bundle": "demonstration (EfficientNet-B0, 760 x 456)",
        "archive": "Orthanc" if orthanc_program() else "the small archive",
    }
    rows: list[Row] = []
    if studies:
        rows += one_by_one(studies)
    if together:
        rows += all_together(together, workers)
    if waiting_workers:
        rows += beside_a_waiting_model(waiting_workers, model_seconds, rounds)
    report = Report(benchmark="end_to_end", rows=rows, conditions=conditions)
    show([report])
    if json is not None:
        report.write(json)


def one_by_one(count: int) -> Iterator[Row]:
    """Measure the time of single studies on a site that does nothing else."""
    with measured_site(count + 1, celery_worker(1)) as site:
        before: dict[str, float] = {}
        for number, study in enumerate(site.studies):
            if number == 1:  # the first one loads the model
                before = site.processor()
            send(study, site.system.node_port)
            site.await_delivered(number + 1)
        after = site.processor()
        first, *further = site.phases()
        grace = site.grace_seconds
    yield _seconds("first study, with loading of the model", first.delivered - first.received)
    whole = statistics.median(one.delivered - one.received for one in further)
    yield _seconds(f"each of {count} further ones, one by one, median", whole)
    for name, seconds in medians(further, grace).items():
        yield _seconds(f"- {name}", seconds)
    yield Row(
        measure="added to model, decoding, drawing and grace, median",
        unit="s",
        ours=statistics.median(one.added(grace) for one in further),
        against="limit",
        theirs=1.0,
    )
    yield from _processor_rows(before, after, count)


def all_together(count: int, workers: int) -> Iterator[Row]:
    """Measure how many studies an hour a site answers whose workers never wait."""
    warm = 2 * workers
    with measured_site(warm + count, celery_worker(workers)) as site:
        _send_all(site, 0, warm)
        site.await_delivered(warm)
        before, began = site.processor(), time.monotonic()
        _send_all(site, warm, warm + count)
        site.await_delivered(warm + count)
        hours = (time.monotonic() - began) / 3600
        after = site.processor()
        phases = site.phases()[warm:]
        megabytes = site.result_bytes() / (warm + count) / 1e6
    yield Row(
        measure=f"{count} studies together, {workers} worker processes",
        unit="studies/h",
        ours=count / hours,
        against="goal",
        theirs=3600.0,
    )
    yield _seconds("- analysed, median", medians(phases, 0)["analysed"])
    yield Row(
        measure="- the engine's part of that, with decoding",
        unit="",
        ours=engine_share(phases),
        against="goal",
        theirs=0.5,
    )
    yield Row(measure="- result objects of a study", unit="MB", ours=megabytes)
    yield from _processor_rows(before, after, count)


def beside_a_waiting_model(workers: int, model_seconds: float, rounds: int) -> Iterator[Row]:
    """Hold workers with a model that only takes time against workers that do nothing else."""
    os.environ[SECONDS_VARIABLE] = str(model_seconds)
    count = workers * (1 + rounds)
    with measured_site(count, waiting_worker(workers)) as site:
        _send_all(site, 0, count)
        # The first one of each loads the model.
        patience = 600 + model_seconds * (1 + rounds)
        site.await_delivered(workers, patience)
        before = site.processor()
        site.await_delivered(count, patience)
        after = site.processor()
        ends = sorted(one.analysed for one in site.phases())
    measured = (count - workers) / (ends[-1] - ends[workers - 1])
    ideal = workers / model_seconds
    yield Row(
        measure=f"{workers} worker processes, model that waits {model_seconds:g} s",
        unit="studies/h",
        ours=3600 * measured,
        against="ideal",
        theirs=3600 * ideal,
        ratio=measured / ideal,
    )
    yield from _processor_rows(before, after, count - workers)


def _send_all(site: MeasuredSite, first: int, end: int) -> None:
    for study in site.studies[first:end]:
        send(study, site.system.node_port)


def _processor_rows(before: dict[str, float], after: dict[str, float], count: int) -> Sequence[Row]:
    times = {name: (after[name] - before[name]) / count for name in after}
    whole = _seconds("- processor time of all, a study", sum(times.values()))
    return [whole, *(_seconds(f"- - {name}", seconds) for name, seconds in times.items())]


def _seconds(measure: str, seconds: float) -> Row:
    return Row(measure=measure, unit="s", ours=seconds)


if __name__ == "__main__":
    typer.run(main)
