"""Errors of Celery and its broker's library as log lines of ours, without what they quote."""

import logging
from typing import Final

import structlog

log = structlog.get_logger("worker.celery")

_LOGGERS: Final = ("celery", "kombu", "billiard")


class CeleryErrors(logging.Handler):
    """Tells of every error that a library logs: by whom and of which kind, and where.

    Its text is left out: of a message that it does not know, for example, it quotes everything.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line for an error, or for a warning with the error that it is about."""
        error = _error_of(record)
        if error is None and record.levelno < logging.ERROR:
            return
        reason = "error" if error is None else type(error).__name__
        place = f"{record.module}.{record.funcName}"
        say = log.error if record.levelno >= logging.ERROR else log.warning
        say("celery_failed", logger=record.name, reason=reason, detail=place)


def _error_of(record: logging.LogRecord) -> BaseException | None:
    if record.exc_info and record.exc_info[1] is not None:
        return record.exc_info[1]
    arguments = record.args if isinstance(record.args, tuple) else ()
    return next((one for one in arguments if isinstance(one, BaseException)), None)


def tell_celery_errors() -> None:
    """Let the errors of Celery and its libraries be told; without, a worker dies in silence."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, CeleryErrors) for one in logger.handlers):
            logger.addHandler(CeleryErrors())
        logger.propagate = False
