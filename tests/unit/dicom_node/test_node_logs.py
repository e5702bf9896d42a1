import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from dicom_node.errors import NodeError
from dicom_node.logs import ALLOWED_KEYS, configure_logs
from mammoclip_core.errors import CoreError

NAME = "Quellwasser^Ottilie"
BREAKS = """
from dicom_node.logs import configure_logs
configure_logs("json")
raise ValueError("{name}")
"""


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in ("pynetdicom", "pydicom")}
    with warnings.catch_warnings():
        yield
    structlog.reset_defaults()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def raised(error: Exception) -> None:
    raise error


def test_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")

    structlog.get_logger().info("instance_new", study="1.2.3", count=4)

    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == ("instance_new", "info")
    assert (line["study"], line["count"]) == ("1.2.3", 4)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("key", ["patient", "patient_name", "birth_date", "dataset", "path"])
def test_key_that_nobody_allowed_is_dropped(capsys: pytest.CaptureFixture[str], key: str) -> None:
    configure_logs("json")

    structlog.get_logger().info("instance_new", **{key: NAME})

    assert NAME not in capsys.readouterr().err


def test_no_allowed_key_speaks_of_a_patient() -> None:
    assert not [key for key in ALLOWED_KEYS if "patient" in key or "name" in key or "birth" in key]


def test_bound_key_is_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")

    with structlog.contextvars.bound_contextvars(analysis=7):
        structlog.get_logger().info("analysis_started")
    structlog.get_logger().info("analysis_started")

    inside, outside = lines(capsys)
    assert inside["analysis"] == 7
    assert "analysis" not in outside


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_traceback_shows_where_but_not_what_a_library_quoted(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure_logs(log_format)

    try:
        raised(ValueError(f"could not convert string to float: '{NAME}'"))
    except ValueError:
        structlog.get_logger().exception("analysis_broke")

    text = capsys.readouterr().err
    assert "ValueError" in text
    assert "in raised" in text
    assert NAME not in text


def test_traceback_of_a_chain_quotes_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")

    try:
        try:
            raised(ValueError(NAME))
        except ValueError as error:
            error.add_note(NAME)
            raise RuntimeError(NAME) from error
    except RuntimeError:
        structlog.get_logger().exception("analysis_broke")

    text = capsys.readouterr().err
    assert NAME not in text
    assert text.index("ValueError") < text.index("RuntimeError")


@pytest.mark.parametrize("kind", [NodeError, CoreError])
def test_traceback_shows_what_our_own_errors_say(
    capsys: pytest.CaptureFixture[str], kind: type[Exception]
) -> None:
    configure_logs("json")

    try:
        raised(kind("instance 1.2.3 has no Rows"))
    except kind:
        structlog.get_logger().exception("analysis_broke")

    assert "instance 1.2.3 has no Rows" in capsys.readouterr().err


def test_thread_of_a_library_that_breaks_has_one_line_and_quotes_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json")

    thread = threading.Thread(target=raised, args=(ValueError(f"bad value: '{NAME}'"),))
    thread.start()
    thread.join()

    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == ("thread_broke", "error")
    assert line["reason"] == "ValueError"
    assert "in raised" in line["exception"]
    assert NAME not in str(line)


def test_process_that_breaks_says_so_in_the_log_and_quotes_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BREAKS.format(name=NAME)],
        capture_output=True,
        text=True,
        check=False,
    )

    (line,) = [json.loads(text) for text in done.stderr.splitlines()]
    assert done.returncode == 1
    assert (line["event"], line["level"]) == ("process_broke", "critical")
    assert line["reason"] == "ValueError"
    assert NAME not in str(line)


@pytest.mark.parametrize("module", ["pydicom.valuerep", "pynetdicom.dimse", "highdicom.sr"])
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_warning_of_a_library_that_quotes_values_is_not_shown(
    capsys: pytest.CaptureFixture[str], module: str, log_format: str
) -> None:
    configure_logs(log_format)

    warnings.warn_explicit(f"Invalid value for VR DA: '{NAME}'", UserWarning, "x.py", 1, module)

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["pydicom", "pynetdicom.assoc", "dicomweb_client.web", "urllib3"])
def test_line_of_a_library_that_quotes_values_is_not_shown(
    caplog: pytest.LogCaptureFixture, name: str
) -> None:
    configure_logs("json")

    logging.getLogger(name).error("data set of %s", NAME)

    assert caplog.text == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nothing_is_written_to_standard_output(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure_logs(log_format)

    structlog.get_logger().warning("association_rejected", address="127.0.0.1")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "association_rejected" in captured.err


def test_line_feed_from_the_network_starts_no_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("console")

    structlog.get_logger().warning("association_rejected", calling_ae_title="A\ninstance_new")

    assert len(capsys.readouterr().err.splitlines()) == 1
