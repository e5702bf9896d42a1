"""The workers before this ledger, as each of them says from time to time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.site_tables import KnownWorker

QUEUE_OF_ANALYSES: Final = "gpu"
QUEUE_OF_DELIVERIES: Final = "deliver"

BEAT_SECONDS: Final = 10.0
"""A worker says so often that it is there."""

SILENT_AFTER: Final = timedelta(seconds=2.5 * BEAT_SECONDS)
"""A worker that was not heard for so long has missed two beats: it has ended, or hangs."""

_FORGOTTEN_AFTER: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """One worker.

    Attributes
    ----------
    name : as Celery calls it, for example ``gpu@host``
    queues : that it serves
    processes : that run its tasks
    version : of this software
    ended_at : when it said that it ends; None if it did not
    trouble : why it takes nothing, as far as it knows; mostly empty
    silent : whether it was not heard when it should have been, and has not said that it ends
    """

    name: str
    queues: tuple[str, ...]
    processes: int
    version: str
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    silent: bool
    trouble: str = ""

    @property
    def is_running(self) -> bool:
        """Return whether it serves its queues, as far as anybody can know."""
        return self.ended_at is None and not self.silent


def note_worker(
    session: Session,
    identity: str,
    *,
    name: str,
    queues: Sequence[str],
    processes: int,
    version: str,
    trouble: str = "",
) -> None:
    """Enter that a worker is there now; those that were not heard for a week are forgotten.

    Parameters
    ----------
    identity : of this start of the worker, 32 hexadecimal digits
    trouble : why it takes nothing, in words
    """
    at = database_time(session)
    row = _row(session, identity)
    if row is None:
        session.execute(delete(KnownWorker).where(KnownWorker.seen_at < at - _FORGOTTEN_AFTER))
        row = KnownWorker(identity=identity, name=name, started_at=at)
        session.add(row)
    row.queues, row.processes, row.version = ",".join(sorted(queues)), processes, version
    row.seen_at, row.trouble = at, trouble


def note_end(session: Session, identity: str) -> None:
    """Enter that a worker ends by itself, or since it was told to."""
    row = _row(session, identity)
    if row is not None:
        row.ended_at = database_time(session)


def workers(session: Session) -> list[WorkerFacts]:
    """Return the workers of the last week by name, of each name the one that was heard last."""
    at = database_time(session)
    newest: dict[str, KnownWorker] = {}
    for row in session.scalars(select(KnownWorker).order_by(KnownWorker.seen_at)):
        known = newest.get(row.name)
        # Two that run under one name both count; of those that ended, the last one.
        key = row.name
        if known is not None and _runs(known, at) and _runs(row, at):
            key = f"{row.name} ({row.identity[:8]})"
        newest[key] = row
    return [_facts(name, row, at) for name, row in sorted(newest.items())]


def why_untaken(session: Session) -> dict[str, str]:
    """Say of each queue that is served why no worker takes anything from it, where all say so."""
    serving: defaultdict[str, list[WorkerFacts]] = defaultdict(list)
    for worker in workers(session):
        for queue in worker.queues if worker.is_running else ():
            serving[queue].append(worker)
    return {
        queue: f"no worker takes it: {known[0].trouble} (found by {known[0].name})"
        for queue, known in serving.items()
        if all(one.trouble for one in known)
    }


def _row(session: Session, identity: str) -> KnownWorker | None:
    return session.scalar(select(KnownWorker).where(KnownWorker.identity == identity))


def _runs(row: KnownWorker, at: datetime) -> bool:
    return row.ended_at is None and at - row.seen_at <= SILENT_AFTER


def _facts(name: str, row: KnownWorker, at: datetime) -> WorkerFacts:
    return WorkerFacts(
        name=name,
        queues=tuple(row.queues.split(",")),
        processes=row.processes,
        version=row.version,
        started_at=row.started_at,
        seen_at=row.seen_at,
        ended_at=row.ended_at,
        trouble=row.trouble,
        silent=row.ended_at is None and at - row.seen_at > SILENT_AFTER,
    )
