"""What ``mammoclip-node metrics`` writes: the figures of ledger and spool for Prometheus.

They are read from the ledger at one moment, so that they add up, whichever of several nodes is
asked. A figure that may fall, such as the number of studies that are delivered, is a gauge.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from dicom_node.commands.observe.model_metrics import model_samples
from dicom_node.commands.waiting import WaitingObjects, waiting_objects
from dicom_node.drift.service_level import service_level
from dicom_node.settings.operation.canary import CANARY_DESTINATION
from dicom_node.settings.settings import Settings
from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE
from dicom_node.studies.ledger.canary_runs import last_run
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.circuits import Circuit, circuits
from dicom_node.studies.ledger.due.workers import workers
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries.backlog import backlog
from dicom_node.studies.ledger.queries.counts import ledger_counts
from dicom_node.studies.ledger.queries.unproven import owed_elsewhere, unproven

_READABLE: Final = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One metric as its table in docs/monitoring.md tells it.

    Attributes
    ----------
    help : a sentence without its stop
    """

    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"


METRICS: Final[Mapping[str, Described]] = {
    "mammoclip_metrics_timestamp_seconds": Described(
        help="When these figures were read, by the clock of the ledger's database"
    ),
    "mammoclip_instances_received_total": Described(
        kind="counter",
        help="Objects that were received and entered in the ledger; the sum of mammoclip_instances",
    ),
    "mammoclip_instances": Described(help="Objects by how they stand now", labels=("state",)),
    "mammoclip_instances_set_aside": Described(
        help="Objects that are set aside, by reason", labels=("reason",)
    ),
    "mammoclip_instances_waiting": Described(
        help="Objects that lie in the spool and are not entered in the ledger yet"
    ),
    "mammoclip_instances_waiting_oldest_age_seconds": Described(
        help="How long the oldest of these has waited; 0 if none waits"
    ),
    "mammoclip_studies_received_total": Described(
        kind="counter", help="Studies of which anything was received; the sum of mammoclip_studies"
    ),
    "mammoclip_studies": Described(help="Studies by condition", labels=("condition",)),
    "mammoclip_analyses": Described(help="Analyses by state", labels=("state",)),
    "mammoclip_deliveries": Described(
        help="Deliveries by destination and state", labels=("destination", "state")
    ),
    "mammoclip_due": Described(
        help="Analyses or deliveries that no worker has begun, or that are to be tried again",
        labels=("work",),
    ),
    "mammoclip_due_oldest_age_seconds": Described(
        help="How long the oldest of these has waited; 0 if none waits", labels=("work",)
    ),
    "mammoclip_queue_workers": Described(
        help="Workers that run and serve this queue", labels=("queue",)
    ),
    "mammoclip_worker_up": Described(
        help="1 if this worker runs, 0 if it has ended or is silent", labels=("worker",)
    ),
    "mammoclip_worker_last_seen_timestamp_seconds": Described(
        help="When this worker last said that it is there", labels=("worker",)
    ),
    "mammoclip_canary_last_run_timestamp_seconds": Described(
        help="When the last canary study began; missing if there was none"
    ),
    "mammoclip_canary_broken": Described(
        help="1 if a phase of the last canary study did not end as it should, else 0; missing if "
        "there was none"
    ),
    "mammoclip_destination_circuit": Described(
        help="1 for the state in which this destination is, 0 for the others: closed (results are "
        "sent), open (it is down), half_open (it answers again, and one delivery is tried)",
        labels=("destination", "state"),
    ),
    "mammoclip_proof_waiting": Described(
        help="Deliveries that this destination has accepted and is still to prove; also of one "
        "that the settings do not name any more",
        labels=("destination",),
    ),
    "mammoclip_proof_oldest_age_seconds": Described(
        help="How long ago it accepted the oldest of these; 0 if there is none",
        labels=("destination",),
    ),
    "mammoclip_proof_given_up": Described(
        help="Deliveries of the last 30 days that it accepted and never proved: it is not asked "
        "about them any more",
        labels=("destination",),
    ),
    "mammoclip_scanner_answers": Described(
        help="Answers to this scanner's studies of the last 7 days", labels=("scanner",)
    ),
    "mammoclip_scanner_answers_flagged": Described(
        help="Those of them with a finding above its threshold", labels=("scanner",)
    ),
    "mammoclip_scanner_last_study_timestamp_seconds": Described(
        help="When the last of these studies began to arrive", labels=("scanner",)
    ),
    "mammoclip_scanner_pixels": Described(
        help="Median of what was measured of the images of these studies: breast_share, mean_grey "
        "or noise, each from 0 to 1",
        labels=("scanner", "measure"),
    ),
    "mammoclip_answers": Described(
        help="Answers of this window, and studies that are late now and still wait",
        labels=("window",),
    ),
    "mammoclip_answers_late": Described(
        help="Those of them that came, or will come, later than monitoring.late_after_minutes",
        labels=("window",),
    ),
    "mammoclip_late_burn_rate": Described(
        help="How many times faster than it lasts the share of answers is used up that may be "
        "late, by monitoring.on_time",
        labels=("window",),
    ),
    "mammoclip_drift_alarms": Described(
        help="Alarms of the last 7 days by their kind", labels=("kind", "scanner")
    ),
    "mammoclip_results_held": Described(
        help="1 while results are held by a person or a stop rule, else 0"
    ),
    "mammoclip_spool_free_bytes": Described(
        help="Free room on the disk of the spool, for the node's account"
    ),
    "mammoclip_spool_size_bytes": Described(help="Size of the disk of the spool"),
}
"""Every metric, in the order in which they are written."""

Sample = tuple[str, tuple[str, ...], float]
"""Name, values of the labels, value."""


def metrics_text(settings: Settings, database: Database) -> str:
    """Return the figures in Prometheus' text format.

    Raises
    ------
    OSError
        The folder of the spool is missing.
    """
    disk = shutil.disk_usage(settings.spool)
    waiting = waiting_objects(settings.spool)  # before the ledger: then nothing is missed
    with database.reading() as session:
        at = database_time(session)
        samples = [
            ("mammoclip_metrics_timestamp_seconds", (), at.timestamp()),
            *_waiting(waiting, at),
            *_of_counts(session, settings),
            *_of_backlog(session, at),
            *_of_workers(session),
            *_of_canary(session),
            *_of_destinations(session, settings, at),
            *_of_proof(session, settings, at),
            *model_samples(session, at),
            *_of_service_level(session, settings, at),
            ("mammoclip_spool_free_bytes", (), disk.free),
            ("mammoclip_spool_size_bytes", (), disk.total),
        ]
    registry = CollectorRegistry()
    registry.register(_Snapshot(samples))
    return generate_latest(registry).decode()


def write_whole(file: Path, text: str) -> None:
    """Put a text in a file's place, readable by every account: never half of it.

    Raises
    ------
    OSError
        The folder is missing or may not be written; the file is as it was.
    """
    # Not ending in .prom: the collector must not read it before it has its name.
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), _READABLE)
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


class _Snapshot(Collector):
    """Hands out what was read; nothing of this process itself."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        for name, one in METRICS.items():
            family: Metric
            mine = [(labels, value) for found, labels, value in self._samples if found == name]
            if one.kind == "counter":
                family = CounterMetricFamily(name, f"{one.help}.", labels=one.labels)
            else:
                family = GaugeMetricFamily(name, f"{one.help}.", labels=one.labels)
            for labels, value in mine:
                family.add_metric(labels, value)
            if mine:
                yield family


def _waiting(waiting: WaitingObjects, at: datetime) -> Iterator[Sample]:
    oldest = waiting.oldest_received_at
    yield "mammoclip_instances_waiting", (), waiting.objects
    yield (
        "mammoclip_instances_waiting_oldest_age_seconds",
        (),
        _age(datetime.fromisoformat(oldest) if oldest else None, at),
    )


def _of_counts(session: Session, settings: Settings) -> Iterator[Sample]:
    counts = ledger_counts(session, destinations=settings.destination_names)
    yield "mammoclip_instances_received_total", (), sum(counts.instances.values())
    yield "mammoclip_studies_received_total", (), sum(counts.studies.values())
    for state, count in counts.instances.items():
        yield "mammoclip_instances", (state.value,), count
    for reason, count in sorted(counts.set_aside.items()):
        yield "mammoclip_instances_set_aside", (reason,), count
    for condition, count in counts.studies.items():
        yield "mammoclip_studies", (condition,), count
    for work, count in counts.analyses.items():
        yield "mammoclip_analyses", (work.value,), count
    for (destination, sent), count in sorted(counts.deliveries.items()):
        yield "mammoclip_deliveries", (destination, sent.value), count


def _of_backlog(session: Session, at: datetime) -> Iterator[Sample]:
    waiting = backlog(session)
    for one in (waiting.analyses, waiting.deliveries):
        yield "mammoclip_due", (one.things,), one.count
        yield "mammoclip_due_oldest_age_seconds", (one.things,), _age(one.oldest, at)


def _of_workers(session: Session) -> Iterator[Sample]:
    known = workers(session)
    for queue in (GPU_QUEUE, DELIVER_QUEUE):
        serving = sum(one.is_running and queue in one.queues for one in known)
        yield "mammoclip_queue_workers", (queue,), serving
    for one in known:
        yield "mammoclip_worker_up", (one.name,), one.is_running
        seen = one.seen_at.timestamp()
        yield "mammoclip_worker_last_seen_timestamp_seconds", (one.name,), seen


def _of_canary(session: Session) -> Iterator[Sample]:
    run = last_run(session)
    if run is not None:
        yield "mammoclip_canary_last_run_timestamp_seconds", (), run.began_at.timestamp()
        yield "mammoclip_canary_broken", (), bool(run.broken)


def _of_destinations(session: Session, settings: Settings, at: datetime) -> Iterator[Sample]:
    known = circuits(session, at=at)
    names = {one.name for one in settings.destinations} | set(known) - {CANARY_DESTINATION}
    for name in sorted(names):
        circuit = known[name].circuit if name in known else Circuit.CLOSED
        for state in Circuit:
            yield "mammoclip_destination_circuit", (name, state.value), state is circuit


def _of_proof(session: Session, settings: Settings, at: datetime) -> Iterator[Sample]:
    removed = owed_elsewhere(session, settings.destination_names)
    for one in unproven(session, sorted({*settings.confirming_names, *removed}), at=at):
        name = (one.destination,)
        yield "mammoclip_proof_waiting", name, one.waiting
        yield "mammoclip_proof_oldest_age_seconds", name, _age(one.oldest, at)
        yield "mammoclip_proof_given_up", name, one.given_up


def _of_service_level(session: Session, settings: Settings, at: datetime) -> Iterator[Sample]:
    for window, burn in service_level(session, settings.monitoring, now=at).items():
        yield "mammoclip_answers", (window,), burn.answers
        yield "mammoclip_answers_late", (window,), burn.late
        yield "mammoclip_late_burn_rate", (window,), burn.rate


def _age(since: datetime | None, at: datetime) -> float:
    # Clocks of hosts differ a little: nothing has waited for less than no time.
    return 0.0 if since is None else max((at - since).total_seconds(), 0.0)
