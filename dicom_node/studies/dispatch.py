"""Sends Celery messages to the workers for due work, and again if the broker lost them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import chain, zip_longest
from typing import Final

import structlog
from sqlalchemy.orm import Session

from dicom_node.studies.broker import TASK_AND_QUEUE, Broker
from dicom_node.studies.ledger import work
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Analysis, Delivery

log = structlog.get_logger("dicom_node.dispatch")

QUEUED: Final = 16
"""Messages of analyses, and of deliveries to each destination, that lie in the queue at most.

What is due later and matters more stands behind no more than these. The queue is filled up again
at each tick, once a second: an analysis or a delivery takes a worker longer than 1/16 s.
"""


class Dispatcher:
    """Keeps the broker in step with the ledger; a message may be lost or repeated.

    Parameters
    ----------
    redispatch_after : timedelta
        Time until a message is sent again for work that no worker has started, if the queue holds
        fewer messages than the ledger has waiting work.
    maximum_attempts : 1 or more
        Starts of an analysis before it counts as failed.
    expire_after : timedelta
        Age at which a delivery expires when its workers are killed again and again.
    clock : by default the time of the tick
        Time at which messages are sent, by the clock of the database.
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        *,
        redispatch_after: timedelta,
        maximum_attempts: int,
        expire_after: timedelta = work.EXPIRE_AFTER,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._database = database
        self._broker = broker
        self._redispatch_after = redispatch_after
        self._maximum_attempts = maximum_attempts
        self._expire_after = expire_after
        self._clock = clock

    def tick(self, at: datetime) -> None:
        """Recover work whose worker stopped responding, and notify the workers of due work.

        Raises
        ------
        BrokerDownError
            The broker accepted no messages; the next tick tries again.
        """
        self._recover(Analysis, at)
        self._recover(Delivery, at)
        self._dispatch(Analysis, at)
        self._dispatch(Delivery, at)

    def _recover(self, table: type[work.Work], at: datetime) -> None:
        with self._database.writing() as session:
            lost = work.recover_lost(
                session,
                table,
                maximum_attempts=self._maximum_attempts,
                expire_after=self._expire_after,
                at=at,
            )
            for row in lost:
                log.warning(
                    "lease_lost", kind=table.__name__.lower(), attempt=row.attempts, state=row.state
                )

    def _dispatch(self, table: type[work.Work], at: datetime) -> None:
        task, queue = TASK_AND_QUEUE[table]
        with self._database.reading() as session:
            rows = _portion(session, table, at)
            dispatched = work.count_dispatched(session, table)
            stale = work.dispatched_before(session, table, before=at - self._redispatch_after)
        if stale and (lost := dispatched - self._broker.waiting(queue)) > 0:
            # Which of them were lost nobody knows: another message about each does no harm.
            log.warning("messages_lost", queue=queue, count=min(lost, len(stale)))
            rows = stale + rows
        for first in range(0, len(rows), QUEUED):
            told = rows[first : first + QUEUED]
            self._broker.notify(task, queue, [row.id for row in told])
            # Stamped with the time after they were sent, and before the next ones are: a broker
            # that is slow or goes away makes nothing look lost that was not.
            with self._database.writing() as session:
                sent_at = at if self._clock is None else self._clock()
                work.note_dispatched(session, table, told, at=sent_at)


def _portion(session: Session, table: type[work.Work], at: datetime) -> list[work.Work]:
    """Read as much due work as there is room for in the queue, every destination in turn."""
    if table is Analysis:
        room = QUEUED - work.count_dispatched(session, table)
        return work.due(session, table, at=at, limit=room) if room > 0 else []
    portions = []
    for destination in work.waiting_destinations(session):
        # Room of its own for each: one that is away takes none from the others.
        room = QUEUED - work.count_dispatched(session, table, destination)
        if room > 0:
            portions.append(work.due(session, table, at=at, limit=room, destination=destination))
    return [row for row in chain.from_iterable(zip_longest(*portions)) if row is not None]
