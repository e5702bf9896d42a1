"""Warnings and errors of Celery reach the log, without what they quote."""

import logging
import threading
from collections.abc import Iterator

import pytest
import structlog
from celery.worker.consumer.consumer import CONNECTION_ERROR, CONNECTION_RETRY
from redis.exceptions import OutOfMemoryError, ResponseError
from thread_shortage import ThreadShortage

from worker.celery_log import CeleryLog, receive_celery_records

LOGGERS = ("celery", "kombu", "amqp", "billiard", "multiprocessing")


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(list(one.handlers), one.propagate, one.level) for one in loggers]
    receive_celery_records()
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.propagate = propagate
        logger.setLevel(level)


def fail() -> None:
    raise ValueError("Quellwasser^Ottilie")


def test_error_is_logged_by_its_kind_and_template() -> None:
    with structlog.testing.capture_logs() as lines:
        try:
            fail()
        except ValueError:
            logging.getLogger("celery.worker.consumer").exception("body was %r", "Quellwasser")

    (line,) = lines
    assert (line["event"], line["logger"]) == ("celery_reported", "celery.worker.consumer")
    assert (line["reason"], line["detail"]) == ("ValueError", "body was %r")
    assert "Quellwasser" not in str(line)


@pytest.mark.parametrize("name", LOGGERS)
def test_warning_whose_text_was_put_together_before_is_not_quoted(name: str) -> None:
    with structlog.testing.capture_logs() as lines:
        logging.getLogger(f"{name}.part").warning("Quellwasser^Ottilie")

    assert [line["event"] for line in lines] == ["celery_reported"]
    assert "Quellwasser" not in str(lines)


def test_information_is_not_logged() -> None:
    with structlog.testing.capture_logs() as lines:
        logging.getLogger("celery.worker").info("Quellwasser")

    assert lines == []


@pytest.mark.parametrize(
    ("template", "values", "event"),
    [
        (CONNECTION_ERROR, ("redis://:secret@host", OSError("x"), ""), "broker_unreachable"),
        ("%s (%r)", (CONNECTION_RETRY, ConnectionError("x")), "broker_lost"),
    ],
)
def test_broker_that_is_lost_has_a_line_of_its_own(
    template: str, values: tuple[object, ...], event: str
) -> None:
    with structlog.testing.capture_logs() as lines:
        logging.getLogger("celery.worker.consumer.consumer").error(template, *values)

    assert [line["event"] for line in lines] == [event]
    assert "secret" not in str(lines)


def lose(error: Exception) -> None:
    logging.getLogger("celery.worker.consumer.consumer").warning("%s (%r)", CONNECTION_RETRY, error)


def find() -> None:
    logging.getLogger("celery.worker.consumer.connection").info("Connected to %s", "redis://x")


def test_trouble_that_comes_back_after_each_connection_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
    with structlog.testing.capture_logs() as lines:
        find()
        for _ in range(20):
            lose(wrong)
            find()
        lose(OutOfMemoryError("command not allowed"))
        monkeypatch.setattr("worker.celery_log.AGAIN_SECONDS", 0.0)
        lose(OutOfMemoryError("command not allowed"))

    assert [line["event"] for line in lines] == ["broker_connected", *["broker_lost"] * 3]
    assert "gpu, deliver" in lines[1]["detail"]
    assert "maxmemory" in lines[2]["detail"]


def test_broker_that_stays_is_said_to_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.celery_log.STEADY_SECONDS", 0.0)
    told = threading.Event()
    monkeypatch.setattr("worker.celery_log.log.info", lambda *_, **__: told.set(), raising=False)
    lose(ConnectionError("gone"))

    find()

    assert told.wait(10)


def test_broker_is_said_to_be_found_at_once_where_no_thread_can_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lose(ConnectionError("gone"))
    ThreadShortage(monkeypatch, "")

    with structlog.testing.capture_logs() as lines:
        find()

    assert [line["event"] for line in lines] == ["broker_connected"]


def test_records_are_logged_once() -> None:
    receive_celery_records()

    handlers = logging.getLogger("celery").handlers
    assert len([one for one in handlers if isinstance(one, CeleryLog)]) == 1


@pytest.mark.parametrize("how", ["in the text", "beside it"])
def test_warning_about_an_error_names_its_kind(how: str) -> None:
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
