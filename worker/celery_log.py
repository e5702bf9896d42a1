"""Celery's warnings and errors as lines of our log, without the values that it puts into them.

Celery is told not to set up a log of its own, so that no argument of a task and no content of a
message is printed; without this module nothing of it would be printed at all.
"""

import logging
import threading
import time
from typing import Final

import structlog
from celery.app.trace import log_policy_reject
from celery.worker.consumer.consumer import CONNECTION_ERROR, CONNECTION_RETRY

from dicom_node.studies.broker import words_for_broker

log = structlog.get_logger("worker.celery")

_CONNECTED: Final = "Connected to %s"
_LOGGERS: Final = ("celery", "kombu", "amqp", "billiard", "multiprocessing")
_EVENTS: Final = {
    CONNECTION_ERROR: ("broker_unreachable", logging.ERROR),
    CONNECTION_RETRY: ("broker_lost", logging.ERROR),
    _CONNECTED: ("broker_connected", logging.INFO),
}

_BROKER_TROUBLE: Final = frozenset({"broker_unreachable", "broker_lost"})

AGAIN_SECONDS: Final = 600.0
"""Time after which a trouble of the broker is told again."""

STEADY_SECONDS: Final = 5.0
"""Time without trouble after which a broker counts as found again."""


class CeleryLog(logging.Handler):
    """Writes Celery's records as events; what is wrong with the broker once, while it lasts."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._trouble: tuple[str, str | None] | None = None
        self._told_at = 0.0
        self._found: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; its template is quoted, and never the values for it."""
        template = str(record.msg)
        # A task that puts its message back has said why in a line of its own.
        if template == log_policy_reject.format.strip():
            return
        event, level = next(
            (known for words, known in _EVENTS.items() if _speaks_of(record, words)),
            ("celery_reported", record.levelno),
        )
        if level < logging.WARNING and event == "celery_reported":
            return
        error = _error_in(record)
        told = {
            "logger": record.name,
            "detail": _detail(event, template, record, error),
            "reason": type(error).__name__ if error else None,
        }
        if event in _BROKER_TROUBLE and self._is_known((event, told["detail"])):
            return
        if event == "broker_connected" and self._trouble is not None:
            self._tell_if_steady(told)
            return
        log.log(level, event, **told)

    @property
    def trouble(self) -> str:
        """Return in words why the broker cannot be used; empty while it can."""
        return (self._trouble[1] if self._trouble else "") or ""

    def _is_known(self, trouble: tuple[str, str | None]) -> bool:
        """Note a trouble of the broker; return whether it was told lately."""
        if self._found is not None:
            self._found.cancel()
        is_known = trouble == self._trouble and time.monotonic() < self._told_at + AGAIN_SECONDS
        if not is_known:
            self._trouble, self._told_at = trouble, time.monotonic()
        return is_known

    def _tell_if_steady(self, told: dict[str, str | None]) -> None:
        """Say that the broker is found unless the same trouble follows at once."""

        def tell() -> None:
            self._trouble = None
            log.info("broker_connected", **told)

        found = threading.Timer(STEADY_SECONDS, tell)
        found.daemon = True
        try:
            found.start()
        except RuntimeError:  # the machine is short of threads
            tell()
        else:
            self._found = found


def receive_celery_records() -> None:
    """Send the records of Celery and its libraries to our log."""
    handler = CeleryLog(logging.INFO)
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == "celery" else logging.WARNING)


def trouble_of_broker() -> str:
    """Return in words why this process cannot use the broker; empty while nothing is known."""
    handlers = logging.getLogger("celery").handlers
    return next((one.trouble for one in handlers if isinstance(one, CeleryLog)), "")


def _speaks_of(record: logging.LogRecord, template: str) -> bool:
    """Whether a record has a template, or has it as its first value ("%s (%r)")."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return record.msg == template or (bool(arguments) and arguments[0] == template)


def _detail(
    event: str, template: str, record: logging.LogRecord, error: BaseException | None
) -> str | None:
    if event in _BROKER_TROUBLE:
        return f"the broker cannot be used: {words_for_broker(error)}" if error else None
    # What has no values to insert may have been put together before it came here.
    is_reported = record.args and event == "celery_reported"
    return " ".join(template.split()) if is_reported else None


def _error_in(record: logging.LogRecord) -> BaseException | None:
    """Return the error that a record tells of, or the one among its values, if there is one."""
    if record.exc_info and record.exc_info[1]:
        return record.exc_info[1]
    arguments = record.args if isinstance(record.args, tuple) else ()
    return next((one for one in arguments if isinstance(one, Exception)), None)
