"""What new studies wait for beside 100,000 due deliveries to an archive that is away."""

import statistics
import tempfile
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from parts.report import Report, Row, machine, show
from sqlalchemy import insert, text

from dicom_node.studies.broker import DELIVER_QUEUE
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

TICKS = 30
NEW = 1_000_000_000


class TakingBroker:
    """A queue in memory, from which workers take eight deliveries in each tick."""

    def __init__(self) -> None:
        self.queue: list[int] = []

    def notify(self, task: str, queue: str, ids: list[int]) -> None:
        """Put messages into the queue."""
        self.queue += ids

    def empty(self, queue: str) -> int:
        """Discard what lies in a queue."""
        count, self.queue = len(self.queue), []
        return count

    def waiting(self, queue: str) -> int:
        """Return the length of the queue."""
        return len(self.queue) if queue == DELIVER_QUEUE else 0


def main(
    deliveries: Annotated[int, typer.Option(min=1, help="Number of due deliveries.")] = 100_000,
    studies: Annotated[
        int,
        typer.Option(
            min=0,
            help="New studies to send to a whole site with this backlog, one more than that to "
            "load the model; 0: the dispatcher alone.",
        ),
    ] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Fill a ledger with due deliveries that failed before, and let the dispatcher tick.

    Example: python benchmarks/backlog.py --deliveries 100000 --json backlog.json
    """
    with tempfile.TemporaryDirectory() as scratch:
        database = Database(f"sqlite:///{scratch}/ledger.sqlite")
        database.migrate()
        fill(database, deliveries)
        broker = TakingBroker()
        dispatcher = Dispatcher(
            database,
            broker,  # type: ignore[arg-type]  # the two methods are all that is used
            redispatch_after=timedelta(seconds=30),
            maximum_attempts=3,
            clock=database.now,
        )
        seconds, processor = [], time.process_time()
        for _ in range(TICKS):
            began = time.perf_counter()
            dispatcher.tick(database.now())
            seconds.append(time.perf_counter() - began)
            take(database, broker, 8)
        processor = (time.process_time() - processor) / TICKS
        add_new(database)
        dispatcher.tick(database.now())
        place = broker.queue.index(NEW)
        database.close()
    rows = [
        Row(measure="tick, median", unit="s", ours=statistics.median(seconds)),
        Row(measure="tick, longest", unit="s", ours=max(seconds)),
        Row(measure="processor time of a tick, with workers' claims", unit="s", ours=processor),
        Row(measure="messages before that of a new delivery", unit="", ours=place),
    ]
    if studies:
        rows += of_a_site(deliveries, studies)
    conditions = {**machine(), "ledger": "SQLite", "due deliveries": str(deliveries)}
    report = Report(benchmark="backlog", rows=rows, conditions=conditions)
    show([report])
    if json is not None:
        report.write(json)


def of_a_site(deliveries: int, studies: int) -> list[Row]:
    """Return what new studies wait for at a site whose one archive is silent for a weekend."""
    from parts.backlog_site import measured, silent_archive

    with tempfile.TemporaryDirectory() as scratch, silent_archive() as port:
        load, waits = measured(
            Path(scratch), port, studies=studies + 1, fill=partial(fill, count=deliveries)
        )
    figures = {
        ("due until its analysis begins, longest", "s"): max(one.analysis for one in waits),
        ("analysed until in the healthy archive, longest", "s"): max(one.delivery for one in waits),
        ("cores that the node takes", ""): load.cores,
        ("memory of the node's process", "MB"): load.memory_bytes / 1e6,
        ("memory with the processes that receive", "MB"): load.whole_bytes / 1e6,
    }
    return [Row(measure=what, unit=unit, ours=ours) for (what, unit), ours in figures.items()]


def fill(database: Database, count: int) -> None:
    """Enter as many studies, each with a delivery that failed before and is due again."""
    now = database.now()
    numbers = range(1, count + 2)
    studies = [
        {"id": n, "study_instance_uid": f"1.2.{n}", "state": StudyState.SETTLED}
        | {"patient_digest": "", "first_received_at": now, "last_received_at": now}
        for n in numbers
    ]
    analyses = [
        {"id": n, "study_id": n, "revision": 1, "state": AnalysisState.DONE}
        | {"due_at": now, "created_at": now}
        for n in numbers
    ]
    due = [
        {"id": n, "analysis_id": n, "destination": "away", "state": DeliveryState.DUE}
        | {"attempts": 3, "due_at": now - timedelta(seconds=n), "created_at": now}
        for n in numbers[:-1]
    ]
    with database.writing() as session:
        session.execute(insert(Study), studies)
        session.execute(insert(Analysis), analyses)
        session.execute(insert(Delivery), due)


def take(database: Database, broker: TakingBroker, count: int) -> None:
    """Let workers try some deliveries, in vain: they are due again in an hour."""
    taken, broker.queue = broker.queue[:count], broker.queue[count:]
    with database.writing() as session:
        for delivery_id in taken:
            row = session.get_one(Delivery, delivery_id)
            row.due_at, row.dispatched_at = row.due_at + timedelta(hours=48), None


def add_new(database: Database) -> None:
    """Enter a delivery that is due now, of the last study."""
    with database.writing() as session:
        last = session.scalar(text("SELECT max(id) FROM analyses"))
        session.add(
            Delivery(
                id=NEW,
                analysis_id=last,
                destination="healthy",
                state=DeliveryState.DUE,
                due_at=database.now(),
                created_at=database.now(),
            )
        )


if __name__ == "__main__":
    typer.run(main)
