"""Ends a worker that takes nothing although it could, so that its service manager starts it again.

After a broker was lost and found, Celery has been seen to wait for messages that it no longer asks
for. Nobody notices: the process lives, and its studies stay waiting.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from celery.worker import state as celery_state

from dicom_node.errors import BrokerDownError
from dicom_node.settings.settings import Settings
from dicom_node.studies.broker import Broker, broker_options
from worker.processes.frozen_processes import FrozenProcesses
from worker.queue.consumer import Consumer
from worker.queue.redis_transport import messages_discarded

log = structlog.get_logger("worker.watchdog")

_LOOKS: Final = 8
"""How often it looks within the time after which it ends the worker."""

_LAST_GRACE_SECONDS: Final = 30.0


@dataclass
class Watchdog:
    """Looks from time to time whether messages lie there that an idle worker does not take.

    Parameters
    ----------
    seconds : more than 0
        How long a worker may leave messages in its queues while it runs nothing.
    waiting : returns the number of messages in its queues; raises BrokerDownError
    taken : returns the number of messages that it has taken so far
    is_busy : whether it runs something, or takes nothing on purpose
    end : ends the worker
    look_further : is called at each look
    """

    seconds: float
    waiting: Callable[[], int]
    taken: Callable[[], int]
    is_busy: Callable[[], bool]
    end: Callable[[], None]
    look_further: Callable[[], object] = lambda: None
    clock: Callable[[], float] = time.monotonic
    _last_taken: int = -1
    _idle_since: float | None = None

    def start(self) -> None:
        """Look from now on, in a thread of its own: the worker's own loop may be what hangs."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def look(self) -> bool:
        """Look once; return whether the worker was ended."""
        taken = self.taken()
        if taken != self._last_taken or self.is_busy() or not self._messages_wait():
            self._last_taken, self._idle_since = taken, None
            return False
        if self._idle_since is None:
            self._idle_since = self.clock()
        if self.clock() - self._idle_since < self.seconds:
            return False
        log.critical(
            "worker_deaf",
            seconds=round(self.seconds),
            reason="messages wait, and this idle worker takes none: it ends, to be started again",
        )
        self.end()
        return True

    def _messages_wait(self) -> bool:
        try:
            return self.waiting() > 0
        except BrokerDownError:
            return False  # nobody can take anything; the worker itself says that it waits

    def _watch(self) -> None:
        ended = False
        while not ended:
            time.sleep(self.seconds / _LOOKS)
            try:
                self.look_further()
                ended = self.look()
            except Exception as error:  # the outermost frame of this thread
                log.exception("watchdog_broke", reason=type(error).__name__)


def watch_over(consumer: Consumer, settings: Settings) -> None:
    """Watch a worker from now on, unless the settings say that nobody does."""
    seconds = settings.work.watchdog_seconds
    if not seconds:
        return
    broker = Broker(**broker_options(settings))
    queues = sorted(consumer.app.amqp.queues.consume_from)
    frozen = FrozenProcesses(lambda: processes_of(consumer.pool))
    Watchdog(
        seconds=seconds,
        look_further=frozen.look,
        waiting=lambda: sum(map(broker.waiting, queues)),
        taken=lambda: consumer.messages_taken + messages_discarded(),
        is_busy=lambda: bool(celery_state.active_requests) or consumer.takes_nothing,
        end=lambda: _end(consumer.pool),
    ).start()


def _end(pool: Any) -> None:
    """End this worker with an error: as when it is told to, or at once if its loop hangs."""
    celery_state.should_stop = 1
    time.sleep(_LAST_GRACE_SECONDS)
    while celery_state.active_requests:  # taken meanwhile, and finished first
        time.sleep(1)
    log.critical("worker_hangs", reason="it did not end when it was told to: it ends at once")
    for process in processes_of(pool):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(1)


def processes_of(pool: Any) -> list[int]:
    """Return the numbers of the pool's processes; none of a worker that is one process."""
    processes = getattr(getattr(pool, "_pool", None), "_pool", ())
    return [process.pid for process in list(processes) if process.pid]
