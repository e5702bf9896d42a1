"""Sends Celery messages to the workers for due work, and again if the broker lost them."""

from datetime import datetime, timedelta

import structlog

from dicom_node.studies.broker import TASK_AND_QUEUE, Broker
from dicom_node.studies.ledger import work
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Analysis, Delivery

log = structlog.get_logger("dicom_node.dispatch")


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
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        *,
        redispatch_after: timedelta,
        maximum_attempts: int,
        expire_after: timedelta = work.EXPIRE_AFTER,
    ) -> None:
        self._database = database
        self._broker = broker
        self._redispatch_after = redispatch_after
        self._maximum_attempts = maximum_attempts
        self._expire_after = expire_after

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
            rows = work.due(session, table, at=at)
            dispatched = work.count_dispatched(session, table)
            stale = work.dispatched_before(session, table, before=at - self._redispatch_after)
        if stale and self._broker.waiting(queue) < dispatched:
            log.warning("messages_lost", queue=queue, count=len(stale))
            rows.extend(stale)
        if not rows:
            return
        self._broker.notify(task, queue, [row.id for row in rows])
        with self._database.writing() as session:
            work.note_dispatched(session, table, rows, at=at)
