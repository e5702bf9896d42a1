"""Log lines: past-tense events with facts as keys, from an allow-list without patient data."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

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
    }
)
"""A key that is not here is dropped, so that a new one cannot leak a name."""

_QUIET: Final = ("pynetdicom", "pydicom", "highdicom", "dicomweb_client", "alembic", "urllib3")
"""Libraries whose own lines may quote data sets: only their errors pass, without arguments."""


def configure_logs(log_format: str) -> None:
    """Send log lines to standard error, for people (``console``) or collectors (``json``)."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _keep_allowed_keys,
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _keep_allowed_keys(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {key: value for key, value in event.items() if key in ALLOWED_KEYS}
