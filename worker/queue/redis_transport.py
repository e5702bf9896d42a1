"""Celery's Redis transport, for queues into which anybody may have written.

The library's own reads a message before anything can be asked about it: what is no JSON, or lacks
a field, ends the worker, and some are put back into the queue and end the next one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from dicom_node.studies import redis_transport
from worker.queue.discarded import Discarded
from worker.queue.messages import LONGEST_MESSAGE_BYTES, UnwantedMessageError, readable

PATH: Final = f"{__name__}:Transport"
"""What Celery's settings call the transport."""

_discarded = Discarded()


class _BoundedReplies:
    """A Redis client that passes over messages which are too large to be ours."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """Return a reply, or that of an empty queue for a message which is too large.

        The broker bounds what arrives here by its proto-max-bulk-len.
        """
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[misc]
        if command_name == "BRPOP" and answer and len(answer[1]) > LONGEST_MESSAGE_BYTES:
            _discarded.note(_queue_of(answer[0]), f"it has more than {LONGEST_MESSAGE_BYTES} bytes")
            return None
        return answer


class _Unacknowledged(redis_transport.QoS):
    """The messages that a worker has taken and not finished; another takes them after a time."""

    def ack(self, delivery_tag: Any) -> None:
        """Remove a finished message."""
        with self._freeing(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Remove a message, or put it back into its queue."""
        with self._freeing(delivery_tag):
            super().reject(delivery_tag, requeue=requeue)

    @contextmanager
    def _freeing(self, tag: Any) -> Iterator[None]:
        """Count a message as held no longer even if the broker cannot be told.

        The library would count it for ever, and a worker of one process take nothing more. The
        ledger has its work told again; the message that is left in the broker finds nothing due.
        """
        try:
            yield
        finally:
            self._quick_ack(tag)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back into its queue; remove one that cannot be read."""
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            with self.channel.conn_or_acquire(client) as connection:
                self._remove_from_indices(tag, connection.pipeline()).execute()
            _discarded.note("unacked", "it cannot be read")


class Channel(redis_transport.Channel):
    """A channel that survives what is no message."""

    QoS = _Unacknowledged

    def _get_client(self) -> Any:
        client = super()._get_client()
        # With a key prefix, a function that makes clients of a class.
        if isinstance(client, partial):
            return partial(_bounded(client.func), *client.args, **client.keywords)
        return _bounded(client)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (ValueError, RecursionError):
            _discarded.note("gpu or deliver", "it is not JSON")
            return True


class Transport(redis_transport.Transport):
    """A transport that passes on readable messages alone."""

    Channel = Channel

    def _deliver(self, message: object, queue: str) -> None:
        try:
            wanted: Mapping[str, Any] = readable(message, queue)
        except UnwantedMessageError as error:
            _discarded.note(queue, str(error))
            return
        super()._deliver(wanted, queue)


def messages_discarded() -> int:
    """Return how many messages were discarded here, before the worker's consumer saw them."""
    return _discarded.count


def _bounded(client: Any) -> Any:
    return type("BoundedRedis", (_BoundedReplies, client), {})


def _queue_of(key: bytes | str) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else key
