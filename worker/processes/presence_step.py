"""The part of a worker that says in the ledger that it is there, whether its broker is or not."""

from typing import Any, Final

from celery.bootsteps import StartStopStep
from celery.signals import worker_shutdown

from worker.celery_log import trouble_of_broker
from worker.settings_at_start import settings_at_start

_GRACE_SECONDS: Final = 15.0
"""Longest time that a worker without work takes to end, on a machine with other work."""


class PresenceStep(StartStopStep):  # type: ignore[misc]
    """Begins once the pool runs, and before the broker is waited for."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        """Say from now on that the worker is there, and why it takes nothing."""
        # Imported here: a process that only sends messages does not load it.
        from worker.processes.ending import end_when_told
        from worker.processes.presence import Presence
        from worker.processes.watchdog import processes_of

        settings = settings_at_start()

        def trouble() -> str:
            return trouble_of_broker() or str(parent.consumer.ledger_trouble)

        presence = Presence(
            url=settings.ledger_url,
            name=parent.hostname,
            queues=sorted(parent.app.amqp.queues.consume_from),
            processes=parent.concurrency,
            trouble=trouble,
        )
        presence.start()
        # What is being sent has its own time to end.
        grace = _GRACE_SECONDS + settings.work.shutdown_seconds
        end_when_told(lambda: processes_of(parent.pool), grace)

        def end(**_options: object) -> None:
            presence.end()

        # Not as a part that is stopped: what runs is finished after that.
        worker_shutdown.connect(end, weak=False)
