"""How much longer the ledger's work takes beside a million finished instances than beside none."""

import logging
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from backlog import TakingBroker
from parts.big_ledger import Filled, fill, receive
from parts.report import Report, Row, machine, show
from sqlalchemy import event, text

from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due import outcomes, work
from dicom_node.studies.ledger.due.outcomes import MadeResult
from dicom_node.studies.ledger.queries.reading import find_study, study_record, summaries
from dicom_node.studies.ledger.search.study_search import StudyFilter, find_studies
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.settling import (
    Patience,
    SettlingRounds,
    complete_studies,
    settle_if_complete,
)

NOTHING = timedelta(0)
LISTED = 10
"""Studies that `studies` lists, of which an empty ledger has as many."""

UID = "1.2.826.0.1.3680043.8.498.8"
_TABLES = (
    "studies|instances|study_identifiers|analyses|result_objects|deliveries|delivery_outcomes|"
    "transitions"
)
_FREQUENT = {"registered", "settled", "done", "accepted"}
"""States that nearly everything is in: an index of states finds nothing by them."""

_BY_STATE = re.compile(r"ix_\w+_state\b")
_WHOLE_TABLE = {
    "sqlite": re.compile(rf"^SCAN ({_TABLES})(?! USING)"),
    "postgresql": re.compile(rf"Seq Scan on ({_TABLES})"),
}


def main(
    instances: Annotated[
        int, typer.Option(min=4, help="Finished instances in the big ledger, four to a study.")
    ] = 1_000_000,
    url: Annotated[
        str, typer.Option(help="PostgreSQL database with no tables in it; default: SQLite.")
    ] = "",
    empty_url: Annotated[
        str, typer.Option(help="A second one, which stays empty; needed with --url.")
    ] = "",
    studies: Annotated[
        int, typer.Option(min=1, help="New studies that are worked on in either ledger.")
    ] = 30,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Fill one of two ledgers, and take new studies through both, in turn.

    Example: python benchmarks/ledger.py --instances 1000000 --json ledger.json
    """
    if bool(url) != bool(empty_url):
        raise typer.BadParameter("--url and --empty-url go together")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with (
            node(url or f"sqlite:///{folder}/big.sqlite", folder / "big") as big,
            node(empty_url or f"sqlite:///{folder}/empty.sqlite", folder / "empty") as empty,
        ):
            began = time.perf_counter()
            filled = fill(big.database, instances)
            seconds = time.perf_counter() - began
            for number in range(LISTED + studies):
                # In turn, so that other load on the machine weighs on both.
                for one in (big, empty):
                    one.take_study(number)
                    if number < LISTED:  # what is compiled or cached once in a process
                        one.seconds.clear()
            rows = [*_rows(empty, big), *_filled_rows(filled, seconds)]
            whole = whole_table_reads(big)
    report = Report(
        benchmark="ledger",
        rows=rows,
        conditions={
            **machine(),
            "instances": instances,
            "database": "PostgreSQL" if url else "SQLite",
            "whole tables read": whole,
        },
    )
    show([report])
    typer.echo("\n".join(whole) or "No statement reads a whole table.")
    if json is not None:
        report.write(json)


@dataclass
class MeasuredNode:
    """What a node and its workers do with a ledger, and how long each kind of work takes.

    Attributes
    ----------
    seconds : of each kind of work, study after study
    statements : all that were sent to the ledger, each with the values of its first time
    """

    database: Database
    spool: Spool
    registrar: Registrar
    dispatcher: Dispatcher
    rounds: SettlingRounds = field(default_factory=SettlingRounds)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    statements: dict[str, Any] = field(default_factory=dict)

    def take_study(self, number: int) -> None:
        """Take a new study the whole way, and look at it."""
        uid, database = f"{UID}.{number}", self.database
        receive(self.spool, uid)
        with self.timing("register four images"):
            self.registrar.register_all()
        with self.timing("settle"):
            _settle(database, self.rounds)
        with self.timing("dispatch"):
            self.dispatcher.tick(_now())
        with self.timing("claim and finish an analysis"):
            _work(database, Analysis, _finish_analysis)
        with self.timing("deliver"):
            _work(database, Delivery, _finish_delivery)
        with self.timing(f"studies, {LISTED} of them"), database.reading() as session:
            summaries(session, limit=LISTED)
        with self.timing("studies by accession number"), database.reading() as session:
            find_studies(session, StudyFilter(accession_number="A-NEW"), limit=LISTED)
        with self.timing("studies that failed"), database.reading() as session:
            find_studies(session, StudyFilter(condition="failed"), limit=LISTED)
        with self.timing("show"), database.reading() as session:
            study_record(session, find_study(session, uid))

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.perf_counter()
        yield
        self.seconds.setdefault(name, []).append(time.perf_counter() - began)

    def note(self, _c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        """Take note of a statement."""
        self.statements.setdefault(statement, values)


@contextmanager
def node(url: str, folder: Path) -> Iterator[MeasuredNode]:
    """Make a ledger and a spool, and what works on them."""
    folder.mkdir()
    with closing(Database(url)) as database:
        database.migrate()
        spool = Spool(folder / "spool")
        registrar = Registrar(spool, database, ReceiveSettings(), clock=database.now)
        dispatcher = Dispatcher(
            database,
            TakingBroker(),  # type: ignore[arg-type]  # its three methods are all that is used
            redispatch_after=timedelta(seconds=30),
            maximum_attempts=3,
        )
        with closing(registrar):
            made = MeasuredNode(database, spool, registrar, dispatcher)
            event.listen(database.engine, "before_cursor_execute", made.note)
            yield made


def whole_table_reads(big: MeasuredNode) -> list[str]:
    """Return the statements for which the database would read most of a large table."""
    database = big.database
    dialect = database.engine.dialect.name
    explain = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
    found = set()
    with database.engine.connect() as connection:
        for statement, values in list(big.statements.items()):
            if not statement.startswith(("SELECT", "UPDATE", "DELETE")):
                continue
            given = values.values() if isinstance(values, dict) else values
            is_frequent = not _FREQUENT.isdisjoint(map(str, given))
            for line in connection.exec_driver_sql(explain + statement, values):
                hit = _WHOLE_TABLE[dialect].search(str(line[-1]))
                by_state = is_frequent and _BY_STATE.search(str(line[-1]))
                if hit or by_state:
                    found.add(f"{line[-1]}: {' '.join(statement.split())[-200:]}")
    return sorted(found)


def _settle(database: Database, rounds: SettlingRounds) -> None:
    patience, at = Patience(idle=NOTHING, grace=NOTHING), datetime.now(UTC)
    with database.reading() as session:
        quiet = rounds.next_portion(session, patience=patience, at=at)
        complete = complete_studies(session, quiet, sent=(), patience=patience, at=at)
    for study_id in complete:
        with database.writing() as session:
            settle_if_complete(session, study_id, sent=(), patience=patience, at=at, due_at=_now())


def _work(database: Database, table: Any, finish: Callable[..., None]) -> None:
    with database.reading() as session:
        newest = session.scalar(text(f"SELECT max(id) FROM {table.__tablename__}")) or 0
    with database.writing() as session:
        taken = work.claim(
            session, table, newest, holder="host:1", lease=timedelta(seconds=40), at=_now()
        )
    assert taken is not None, "what was made due can be claimed"
    with database.writing() as session:
        finish(session, *taken)


def _finish_analysis(session: Any, held: work.Claim, _row: Analysis) -> None:
    outcomes.finish_analysis(
        session,
        held,
        findings='{"images": [{"status": "analysed"}]}',
        bundle="big 1 00",
        results=[
            MadeResult(
                kind="measurement_report",
                sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
                sop_instance_uid=f"{UID}.7.{held.id}",
                series_instance_uid=f"{UID}.7",
                place=f"results/{held.id}/1/000.dcm",
            )
        ],
        destinations=["archive"],
        at=_now(),
    )


def _finish_delivery(session: Any, held: work.Claim, row: Delivery) -> None:
    wanted = {("measurement_report", "")}
    for item in outcomes.undelivered(session, row, wanted):
        outcomes.record_outcome(
            session, held, item.id, outcome="accepted", status="0x0000", at=_now()
        )
    outcomes.finish_delivery(session, held, at=_now())


def _now() -> datetime:
    # The registrar of the tests has a clock that stands still; work is due by this one.
    return datetime.now(UTC)


def _rows(empty: MeasuredNode, big: MeasuredNode) -> Iterator[Row]:
    for name, seconds in big.seconds.items():
        beside_none = 1000 * statistics.median(empty.seconds[name])
        beside_all = 1000 * statistics.median(seconds)
        yield Row(
            measure=name,
            unit="ms",
            ours=beside_all,
            against="empty",
            theirs=beside_none,
            ratio=beside_all / beside_none,
        )


def _filled_rows(filled: Filled, seconds: float) -> Iterator[Row]:
    row: Callable[..., Row] = partial(Row, against="")
    yield row(measure="- rows in the big ledger", unit="", ours=float(filled.rows))
    yield row(measure="- its size", unit="GB", ours=filled.size_bytes / 1e9)
    yield row(measure="- filled in", unit="s", ours=seconds)


if __name__ == "__main__":
    typer.run(main)
