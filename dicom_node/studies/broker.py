"""Celery as node and workers use it: its settings, and messages to the workers."""

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from celery import Celery
from celery.exceptions import OperationalError as CeleryOperationalError
from kombu import Exchange, Queue
from kombu.exceptions import ChannelError, OperationalError

from dicom_node.errors import BrokerDownError, SettingsError, chain_of
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.due.workers import QUEUE_OF_ANALYSES, QUEUE_OF_DELIVERIES
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.tls import amqp_options, redis_options, words_for

ANALYZE_TASK: Final = "worker.analyze"
DELIVER_TASK: Final = "worker.deliver"
GPU_QUEUE: Final = QUEUE_OF_ANALYSES
DELIVER_QUEUE: Final = QUEUE_OF_DELIVERIES

TASK_AND_QUEUE: Final[dict[type[Analysis | Delivery], tuple[str, str]]] = {
    Analysis: (ANALYZE_TASK, GPU_QUEUE),
    Delivery: (DELIVER_TASK, DELIVER_QUEUE),
}
TASKS: Final = frozenset({ANALYZE_TASK, DELIVER_TASK})
"""The tasks that workers have; Celery's own are never sent."""

LEDGER_HEADER: Final = "ledger"
"""The header in which a message names the ledger that it speaks of."""

_VARIABLES: Final = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")

_LONGEST_TASK_SECONDS: Final = 3600
_REDIS_LIMITS: Final[dict[str, Any]] = {
    # A broker that is cut off says nothing: without these its silence would last for ever, and a
    # worker that is told to end would wait for it.
    "socket_connect_timeout": 5,
    "socket_timeout": 10,
    "socket_keepalive": True,
    "retry_on_timeout": False,
    # A worker that waits for messages has an answer each second, if only that there is none.
    "health_check_interval": 5,
}
_TRANSPORTS: Final = {
    "redis": "dicom_node.studies.redis_transport:Transport",
    "rediss": "dicom_node.studies.redis_transport:Transport",
    "amqp": "dicom_node.studies.amqp_transport:Transport",
    "amqps": "dicom_node.studies.amqp_transport:Transport",
}
"""The library's own wait for name servers as long as the system does; by scheme of the URL."""

_CHOOSE_ANOTHER: Final = "choose another database number in url, or a key_prefix, under [broker]"
_ANOTHER_APPLICATION: Final = f"holds data of another application: {_CHOOSE_ANOTHER}"
_ANOTHER_NODE: Final = f"holds messages of a node with another ledger: {_CHOOSE_ANOTHER}"

_TROUBLES: Final = {
    "OutOfMemoryError": "its memory is full: raise maxmemory there, or free some",
    "ReadOnlyError": "it is a read-only replica: set url under [broker] to the primary",
    "MISCONF": "it cannot write to its disk: see its own log",
    "AuthenticationError": "it refuses the user and password of url under [broker]",
    "NoPermissionError": "its user lacks a permission: compare its ACL rule with docs/security.md",
    "WRONGTYPE": "one of its keys gpu, deliver, unacked and unacked_index (behind key_prefix) is "
    f"of another type than a queue: it {_ANOTHER_APPLICATION}",
    "DB index is out of range": "it has no database of the number in url under [broker]",
    "max number of clients": "it takes no more connections: raise maxclients there",
    "NOREPLICAS": "it lacks replicas to write to: see min-replicas-to-write there",
    "MOVED": "it is a Redis Cluster, which cannot be used: set url under [broker] to a Redis alone",
    "BusyLoadingError": "it is still reading its data: wait",
    "MasterDownError": "it is a replica without its primary: set url under [broker] to the primary",
    "AccessRefused": "it refuses the user, the password or a permission: see url under [broker]",
    "PreconditionFailed": "one of its queues or exchanges gpu and deliver is of another kind than "
    "ours: it holds data of another application: choose another virtual host in url under [broker]",
    "NotAllowed": "it lacks the virtual host that url under [broker] names, or does not let us in",
    "TimeoutError": "it takes too long, as RabbitMQ does while it is full: see its own log",
    "InvalidResponse": "what answers there is no broker: check host and port of url",
}
"""What to do, by the name of the library's error or by words of the broker's answer."""


def celery_configuration(
    broker_url: str, *, tls: Mapping[str, Any] | None = None, key_prefix: str = ""
) -> dict[str, Any]:
    """Return the Celery settings on which the node and its workers must agree.

    Parameters
    ----------
    tls : options of the broker's library, with certificates; None without TLS
    key_prefix : before the name of every key in Redis

    Raises
    ------
    SettingsError
        Celery would use another broker, which a variable of the environment names.
    """
    _require_no_other(broker_url)
    scheme = broker_url.partition("://")[0]
    is_redis = scheme in {"redis", "rediss"}
    return {
        "broker_url": broker_url,
        "broker_transport": _TRANSPORTS.get(scheme),
        "broker_use_ssl": None if tls is None else dict(tls),
        "broker_connection_retry_on_startup": True,
        # Without end: a worker that gave up would have to be started again by a person.
        "broker_connection_max_retries": None,
        # What RabbitMQ refuses, a person may put right there: it is tried again, too.
        "broker_channel_error_retry": not is_redis,
        "broker_transport_options": {
            # A task longer than this is run twice; the lease in the ledger finds lost work sooner.
            "visibility_timeout": _LONGEST_TASK_SECONDS,
            "global_keyprefix": key_prefix,
            **(_REDIS_LIMITS if is_redis else {}),
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


def _require_no_other(broker_url: str) -> None:
    """Refuse what Celery believes more than its settings: node and workers would not meet."""
    for name in _VARIABLES:
        if os.environ.get(name, broker_url) != broker_url:
            raise SettingsError(
                f"the environment (or --broker) names another broker in {name} than url under "
                "[broker]: take the variable out of it, also BROKER_URL"
            )


def broker_options(settings: Settings) -> dict[str, Any]:
    """Return the arguments of `celery_configuration` and `Broker` for the settings of a site."""
    broker = settings.broker
    tls: Mapping[str, Any] | None = None
    if broker.scheme == "rediss":
        tls = redis_options(settings.tls.for_peer(broker))
    elif broker.scheme == "amqps":
        tls = amqp_options(settings.tls.for_peer(broker), broker.host)
    return {
        "broker_url": broker.url.get_secret_value(),
        "tls": tls,
        "key_prefix": broker.key_prefix,
    }


class Broker:
    """Sends messages to workers: the name of a task, a ledger and an id in it, nothing else.

    Parameters
    ----------
    broker_url : URL
    options : as for `celery_configuration`
    """

    def __init__(self, broker_url: str, **options: Any) -> None:
        self._app = Celery("mammoclip-node", set_as_current=False)
        self._app.conf.update(celery_configuration(broker_url, **options))
        self._app.conf.broker_transport_options.update(
            # Of RabbitMQ, which reads nothing any more while its memory is full.
            read_timeout=10,
            write_timeout=10,
            confirm_publish=True,
        )
        self._ledger = ""

    def speak_of(self, ledger: str) -> None:
        """Name in every message from now on the ledger whose rows it is about.

        Parameters
        ----------
        ledger : its name in messages
            Another node may use the same queues by mistake, and a worker another ledger.
        """
        self._ledger = ledger

    def notify(self, task: str, queue: str, ids: list[int]) -> None:
        """Send one message for each id, in which the ledger is named.

        Raises
        ------
        BrokerDownError
            The broker did not accept all of them.
        """
        with (
            self._connected("accepts no messages") as connection,
            self._app.amqp.Producer(connection) as producer,
        ):
            for work_id in ids:
                self._app.send_task(
                    task,
                    args=[work_id],
                    queue=queue,
                    headers={LEDGER_HEADER: self._ledger} if self._ledger else None,
                    producer=producer,
                    retry=False,
                )

    def waiting(self, queue: str) -> int:
        """Return the number of messages in a queue that no worker has received.

        Raises
        ------
        BrokerDownError
            The broker does not answer, or not as a broker does.
        """
        with self._connected("does not answer") as connection:
            return _waiting(connection, queue)

    def empty(self, queue: str) -> int:
        """Discard the messages of a queue that no worker has received; return their number.

        Raises
        ------
        BrokerDownError
            The broker does not answer, or not as a broker does.
        """
        with self._connected("does not answer") as connection:
            count = _waiting(connection, queue)
            channel = connection.default_channel
            if connection.transport.driver_type == "redis":
                channel.client.delete(queue)
            elif count:
                channel.queue_purge(queue)
            return count

    def check(self) -> None:
        """Try what node and workers need, without changing anything.

        Raises
        ------
        BrokerDownError
            The broker does not answer, takes no messages, or holds those of another application or
            of a node with another ledger.
        """
        with self._connected("cannot be used") as connection:
            for queue in (GPU_QUEUE, DELIVER_QUEUE):
                _waiting(connection, queue)
            if connection.transport.driver_type != "redis":
                return
            channel = connection.default_channel
            # A write that Redis refuses as it would refuse a message, and that does nothing:
            # the member is not there to be changed.
            channel.client.zadd(channel.unacked_index_key, {"mammoclip-check": 0}, xx=True)
            for queue in (GPU_QUEUE, DELIVER_QUEUE):
                _require_own_messages(channel, queue, self._ledger)

    @contextmanager
    def _connected(self, trouble: str) -> Iterator[Any]:
        connection = self._app.connection_for_write()
        try:
            with connection:
                connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=5)
                yield connection
        except (
            OSError,
            OperationalError,
            CeleryOperationalError,
            *connection.connection_errors,
            *connection.channel_errors,
        ) as error:
            raise BrokerDownError(f"the broker {trouble}: {words_for_broker(error)}") from error


def _waiting(connection: Any, queue: str) -> int:
    if connection.transport.driver_type == "redis":
        # Not by declaring the queue: kombu looks for it without the prefix.
        return int(connection.default_channel.client.llen(queue))
    bound = Queue(queue, Exchange(queue, type="direct"), routing_key=queue)
    try:
        declared = bound(connection.default_channel).queue_declare(passive=True)
    except ChannelError:
        return 0  # the queue does not exist yet
    return int(declared.message_count)


def _require_own_messages(channel: Any, queue: str, ledger: str) -> None:
    ours = {task for task, of in TASK_AND_QUEUE.values() if of == queue}
    for message in channel.client.lrange(f"{channel.global_keyprefix}{queue}", -10, -1):
        try:
            headers = json.loads(message)["headers"]
            task, named = headers["task"], headers.get(LEDGER_HEADER)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            task = named = None
        if task not in ours:
            found = _ANOTHER_APPLICATION
        elif ledger and named and named != ledger:
            found = _ANOTHER_NODE
        else:
            continue
        raise BrokerDownError(f"the broker cannot be used: its queue {queue} {found}")


def words_for_broker(error: BaseException) -> str:
    """Say what to do about an error of the broker's library, of which nothing is quoted."""
    for found in chain_of(error):
        name, answer = type(found).__name__, str(found)
        for key, words in _TROUBLES.items():
            if key == name or key in answer:
                return words
        if isinstance(found, ssl.SSLError):
            return f"TLS failed: {words_for(found)}. Check certificates under [broker] and [tls]."
    return f"{type(error).__name__}. Check that it is running, and url under [broker]."
