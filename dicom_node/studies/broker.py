"""Celery as node and workers use it: its settings, and messages to the workers."""

from typing import Any, Final

from celery import Celery
from celery.exceptions import OperationalError as CeleryOperationalError
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

from dicom_node.errors import BrokerDownError
from dicom_node.studies.ledger.tables import Analysis, Delivery

ANALYZE_TASK: Final = "worker.analyze"
DELIVER_TASK: Final = "worker.deliver"
GPU_QUEUE: Final = "gpu"
DELIVER_QUEUE: Final = "deliver"

TASK_AND_QUEUE: Final[dict[type[Analysis | Delivery], tuple[str, str]]] = {
    Analysis: (ANALYZE_TASK, GPU_QUEUE),
    Delivery: (DELIVER_TASK, DELIVER_QUEUE),
}
_LONGEST_TASK_SECONDS: Final = 3600
_CHECK_BROKER: Final = "Check that it is running, and url under [broker]."


def celery_configuration(broker_url: str) -> dict[str, Any]:
    """Return the Celery settings on which the node and its workers must agree."""
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
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
        "task_routes": {task: {"queue": queue} for task, queue in TASK_AND_QUEUE.values()},
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
