"""Sends Celery messages to the workers for due work, and again if the broker lost them."""

from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from celery import Celery
from celery.exceptions import OperationalError as CeleryOperationalError
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

from dicom_node.errors import BrokerDownError
from dicom_node.studies.ledger import work
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Analysis, Delivery

log = structlog.get_logger("dicom_node.dispatch")

ANALYZE_TASK: Final = "worker.analyze"
DELIVER_TASK: Final = "worker.deliver"
GPU_QUEUE: Final = "gpu"
DELIVER_QUEUE: Final = "deliver"

_TASK_AND_QUEUE: Final[dict[type[Analysis | Delivery], tuple[str, str]]] = {
    Analysis: (ANALYZE_TASK, GPU_QUEUE),
    Delivery: (DELIVER_TASK, DELIVER_QUEUE),
}
TASKS: Final = frozenset({ANALYZE_TASK, DELIVER_TASK})
"""The tasks that workers have; Celery's own are never sent."""

_LONGEST_TASK_SECONDS: Final = 3600
_CHECK_BROKER: Final = "Check that it is running, and url under [broker]."


def celery_configuration(broker_url: str) -> dict[str, Any]:
    """Return the Celery settings on which the node and its workers must agree."""
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        # Without end: a worker that gave up would have to be started again by a person.
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # A task longer than this is run twice; the lease in the ledger finds lost work sooner.
            "visibility_timeout": _LONGEST_TASK_SECONDS,
        },
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_serializer": "json",
        "result_accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "task_queues": [
            Queue(name, Exchange(name, type="direct"), routing_key=name)
            for name in (GPU_QUEUE, DELIVER_QUEUE)
        ],
        "task_default_queue": GPU_QUEUE,
        "task_routes": {task: {"queue": queue} for task, queue in _TASK_AND_QUEUE.values()},
    }


class Broker:
    """Sends messages to workers: the name of a task and an id in the ledger, nothing else.

    Parameters
    ----------
    url : broker URL
    """

    def __init__(self, url: str) -> None:
        self._app = Celery("mammoclip-node", set_as_current=False)
        self._app.conf.update(celery_configuration(url))
        self._app.conf.broker_transport_options.update(
            socket_connect_timeout=5, socket_timeout=10, retry_on_timeout=False
        )

    def notify(self, task: str, queue: str, ids: list[int]) -> None:
        """Send one message for each id.

        Raises
        ------
        BrokerDownError
            The broker did not accept all of them.
        """
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=5)
                with self._app.amqp.Producer(connection) as producer:
                    for work_id in ids:
                        self._app.send_task(
                            task, args=[work_id], queue=queue, producer=producer, retry=False
                        )
        except (OSError, OperationalError, CeleryOperationalError) as error:
            raise BrokerDownError(
                f"the broker accepts no messages: {type(error).__name__}. {_CHECK_BROKER}"
            ) from error

    def waiting(self, queue: str) -> int:
        """Return the number of messages in a queue that no worker has received.

        Raises
        ------
        BrokerDownError
            The broker does not answer.
        """
        try:
            with self._app.connection_for_read() as connection:
                connection.ensure_connection(max_retries=1, timeout=5)
                channel = connection.default_channel
                bound = Queue(queue, Exchange(queue, type="direct"), routing_key=queue)(channel)
                try:
                    return int(bound.queue_declare(passive=True).message_count)
                except connection.channel_errors:
                    return 0  # Redis deletes an empty queue
        except (OSError, OperationalError, CeleryOperationalError) as error:
            raise BrokerDownError(
                f"the broker does not answer: {type(error).__name__}. {_CHECK_BROKER}"
            ) from error


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
        task, queue = _TASK_AND_QUEUE[table]
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
