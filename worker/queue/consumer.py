"""The part of Celery's worker that takes messages, narrowed to what this worker is for.

It takes none that speaks of another ledger than its own: see `worker.queue.own_ledger`.

It starts no events, no gossip between workers and no remote control: what can write to the broker
would otherwise be able to shut workers down (Celery's documentation names remote control an unsafe
component).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown
from kombu import Message, compression

from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE
from worker.queue.discarded import Discarded
from worker.queue.messages import UnwantedMessageError, work_of
from worker.queue.own_ledger import OwnLedger
from worker.settings_at_start import settings_at_start

_UNSTEADY_SECONDS: Final = 10.0
"""A connection that fails sooner was never of use."""

_LONGEST_WAIT_SECONDS: Final = 30.0

_SILENT = {
    "task_events": False,
    "without_gossip": True,
    "without_heartbeat": True,
    "without_mingle": True,
}


class Consumer(CeleryConsumer):  # type: ignore[misc]
    """Runs two tasks with one id each, whatever a message asks for; discards every other one.

    Attributes
    ----------
    messages_taken : number of messages received, wanted or not
    takes_nothing : whether it has stopped taking messages for a while, on purpose
    """

    def __init__(
        self, *arguments: Any, worker_options: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        # None of ours is compressed, and a few bytes can become gigabytes before anybody looks.
        for content_type in compression.encoders():
            compression.register(None, _refuse_to_decompress, content_type)
        self.messages_taken = 0
        self.takes_nothing = False
        self._failed_at = float("-inf")
        self._wait = 0.0
        self._discarded = Discarded()
        self._ledger = OwnLedger(settings_at_start().ledger_url)
        super().__init__(
            *arguments, worker_options={**(worker_options or {}), **_SILENT}, **options
        )

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Message], None]:
        """Return the function that receives each message."""
        run = super().create_task_handler(*arguments, **options)

        def receive(message: Message) -> None:
            self.messages_taken += 1
            try:
                wanted = work_of(
                    message.headers,
                    message.body,
                    content_type=message.content_type,
                    content_encoding=message.content_encoding,
                )
            except UnwantedMessageError as error:
                self._discard(message, str(error))
                return
            if not self._ledger.is_named_by(wanted):
                self._give_back(message)
                return
            message.headers = wanted.headers()
            message.body = wanted.body()
            message.properties = {}
            run(message)

        return receive

    @property
    def ledger_trouble(self) -> str:
        """Return in words why messages are put back; empty while they are not."""
        return self._ledger.trouble

    def _give_back(self, message: Message) -> None:
        """Put a message back, behind all others of its queue, and take none for a while."""
        message.reject_log_error(_NoLog(), self.connection_errors, requeue=True)
        self.takes_nothing = True
        self.task_consumer.cancel()
        # Not from the timer itself, which has a thread of its own where there is no event loop.
        self.timer.call_after(self._ledger.wait_seconds, self.call_soon, (self._take_again,))

    def _take_again(self) -> None:
        self.takes_nothing = False
        # After a new connection it takes messages again anyway.
        if self.task_consumer is not None:
            self.task_consumer.consume()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Connect anew, and ever later to a broker that answers and then fails each time."""
        super().on_connection_error_after_connected(exc)
        now = time.monotonic()
        is_unsteady = now - self._failed_at < _UNSTEADY_SECONDS
        self._wait = min(max(2 * self._wait, 1.0), _LONGEST_WAIT_SECONDS) if is_unsteady else 0.0
        give_up_at = now + self._wait
        while (left := give_up_at - time.monotonic()) > 0:
            maybe_shutdown()
            time.sleep(min(left, 0.5))
        self._failed_at = time.monotonic()

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Discard a message that Celery cannot decode; its own way would log the content."""
        self._discard(message, "it cannot be decoded")

    def _discard(self, message: Message, reason: str) -> None:
        # An exchange of others may bring it under any name.
        queue = message.delivery_info.get("routing_key")
        self._discarded.note(queue if queue in {GPU_QUEUE, DELIVER_QUEUE} else "unknown", reason)
        message.reject_log_error(_NoLog(), self.connection_errors)


class _NoLog:
    """Takes what Celery says of a broker that was lost meanwhile: that is logged elsewhere."""

    def critical(self, *_arguments: object, **_options: object) -> None:
        """Say nothing."""


def _refuse_to_decompress(_body: bytes) -> bytes:
    raise UnwantedMessageError("it is compressed")
