"""Errors of Celery are told, without what they quote."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from worker.celery_log import CeleryErrors, tell_celery_errors


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("celery", "kombu", "billiard")]
    before = [(list(one.handlers), one.propagate) for one in loggers]
    yield
    for logger, (handlers, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.propagate = propagate


def fail() -> None:
    raise ValueError("Quellwasser^Ottilie")


def test_error_is_told_by_its_kind_and_place() -> None:
    tell_celery_errors()
    with structlog.testing.capture_logs() as lines:
        try:
            fail()
        except ValueError:
            logging.getLogger("celery.worker.consumer").exception("body was %r", "Quellwasser")

    (line,) = lines
    assert (line["event"], line["logger"]) == ("celery_failed", "celery.worker.consumer")
    assert line["reason"] == "ValueError"
    assert "Quellwasser" not in str(line)


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_what_is_no_error_is_not_told(level: int) -> None:
    tell_celery_errors()
    with structlog.testing.capture_logs() as lines:
        logging.getLogger("celery.worker").log(level, "Quellwasser")

    assert lines == []


def test_errors_are_told_once() -> None:
    tell_celery_errors()
    tell_celery_errors()

    handlers = logging.getLogger("celery").handlers
    assert len([one for one in handlers if isinstance(one, CeleryErrors)]) == 1


@pytest.mark.parametrize("how", ["in the text", "beside it"])
def test_warning_about_an_error_is_told(how: str) -> None:
    tell_celery_errors()
    logger = logging.getLogger("celery.worker")
    with structlog.testing.capture_logs() as lines:
        try:
            fail()
        except ValueError as error:
            if how == "in the text":
                logger.warning("lost (%r)", error)
            else:
                logger.warning("lost", exc_info=True)

    assert [(line["log_level"], line["reason"]) for line in lines] == [("warning", "ValueError")]
    assert "Quellwasser" not in str(lines)
