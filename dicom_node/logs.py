"""Log lines: past-tense events with facts as keys, from an allow-list without patient data."""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Final, TextIO, cast

import structlog

from dicom_node.errors import NodeError
from dicom_node.log_stream import LogStream
from mammoclip_core.errors import CoreError

ALLOWED_KEYS: Final = frozenset(
    {
        "accepted_terms",
        "address",
        "analysis",
        "attempt",
        "bundle",
        "called_ae_title",
        "calling_ae_title",
        "count",
        "delivery",
        "destination",
        "detail",
        "event",
        "exc_info",
        "exception",
        "host",
        "kind",
        "level",
        "licence",
        "logger",
        "port",
        "queue",
        "reason",
        "receipt",
        "revision",
        "seconds",
        "sop_class",
        "sop_instance",
        "spool",
        "state",
        "status",
        "study",
        "task",
        "timestamp",
        "version",
        "warning",
        "workitem",
    }
)
"""Any other key is dropped, so that a new one cannot disclose a patient's name."""

_QUIET: Final = (
    "pynetdicom",
    "pydicom",
    "highdicom",
    "dicomweb_client",
    "alembic",
    "urllib3",
    "websockets",
)
"""Libraries whose log lines and warnings may quote data sets."""

_OUR_OWN: Final = (NodeError, CoreError)
"""Errors whose messages hold no patient data."""


def configure_logs(log_format: str) -> None:
    """Send log lines to standard error, for people (``console``) or collectors (``json``).

    Where they cannot be written, lines are lost, and told so once they can be again: no thread
    waits for whoever reads them. An error that nobody catches is a line as well, in a thread of a
    library too: Python itself would print what the error quotes.
    """
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    finish: tuple[Any, ...] = (
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    )

    def tell_lost(count: int) -> str:
        event: Any = {"event": "log_lines_lost", "count": count}
        for processor in (*finish, renderer):
            event = processor(None, "warning", event)
        return f"{event}\n"

    stream = LogStream(sys.stderr, tell_lost)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *finish,
            _keep_allowed_keys,
            _add_traceback,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, stream)),
        cache_logger_on_first_use=False,
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
    threading.excepthook = _tell_of_thread
    sys.excepthook = _tell_of_process


def _tell_of_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None and not isinstance(told.exc_value, SystemExit):
        structlog.get_logger("thread").error(
            "thread_broke", reason=type(told.exc_value).__name__, exc_info=told.exc_value
        )


def _tell_of_process(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        structlog.get_logger("process").critical(
            "process_broke", reason=kind.__name__, exc_info=error
        )


def _keep_allowed_keys(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {key: value for key, value in event.items() if key in ALLOWED_KEYS}


def _add_traceback(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if given := event.pop("exc_info", None):
        error = given if isinstance(given, BaseException) else sys.exc_info()[1]
        if error is not None:
            event["exception"] = _traceback_of(error)
    return event


def _traceback_of(error: BaseException, told: frozenset[int] = frozenset()) -> str:
    """Return an error's traceback without messages of libraries, which may quote values.

    Parameters
    ----------
    told : errors that came of this one and, where a chain leads into itself, before it
    """
    former = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    told |= {id(error)}
    is_new = former is not None and id(former) not in told
    before = f"{_traceback_of(former, told)}\nand then\n" if former is not None and is_new else ""
    words = f": {error}" if isinstance(error, _OUR_OWN) else ""
    if isinstance(error, OSError):
        words = f": {error.strerror}"
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}{frames}{type(error).__qualname__}{words}"
