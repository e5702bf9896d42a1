"""Whoever reads the log lines, or no more, stops nobody who writes them."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TextIO

import pytest

from dicom_node.log_stream import LogStream

LINE = "association_rejected " + 100 * "." + "\n"
MANY = 5000


def told(count: int) -> str:
    return f"lost {count}\n"


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as reader, os.fdopen(writing, "w") as writer:
        yield reader, writer


def test_lines_arrive_as_they_are(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    stream = LogStream(writer, told)

    stream.write("one\n")
    stream.write("two \N{GREEK SMALL LETTER ALPHA}\n")

    assert [reader.readline(), reader.readline()] == ["one\n", "two \N{GREEK SMALL LETTER ALPHA}\n"]


def test_pipe_that_nobody_reads_holds_nobody_up(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    stream = LogStream(writer, told)

    for _ in range(MANY):
        stream.write(LINE)
    os.set_blocking(reader.fileno(), False)
    while_it_hung = reader.read().splitlines()
    stream.write("again\n")

    assert reader.read().splitlines()[-2:] == [f"lost {MANY - len(while_it_hung)}", "again"]
    assert set(while_it_hung) == {LINE.rstrip()}


def test_reader_that_is_slow_loses_nothing(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    stream = LogStream(writer, told)
    read: list[str] = []
    thread = threading.Thread(target=lambda: read.extend(reader))
    thread.start()

    for _ in range(MANY):
        stream.write(LINE)
    stream.write("x" * 200_000 + "\n")
    writer.close()
    stream.close()
    thread.join()

    assert (len(read), len(read[-1])) == (MANY + 1, 200_001)


def test_pipe_whose_reader_has_gone_ends_nobody(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    stream = LogStream(writer, told)
    reader.close()

    stream.write(LINE)
    stream.write(LINE)


def test_socket_that_nobody_reads_holds_nobody_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w") as writer:
        stream = LogStream(writer, told)
        for _ in range(MANY):
            stream.write(LINE)
        stream.close()


def test_full_disk_ends_nobody() -> None:
    with Path("/dev/full").open("w") as full:
        LogStream(full, told).write(LINE)


def test_line_after_one_that_was_cut_begins_anew(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    stream = LogStream(writer, told)

    stream.write("x" * 1_000_000 + "\n")
    os.set_blocking(reader.fileno(), False)
    reader.read()
    stream.write("next\n")

    assert reader.read() == "\nlost 1\nnext\n"


def test_stream_in_memory_serves_too() -> None:
    memory = StringIO()

    LogStream(memory, told).write(LINE)

    assert memory.getvalue() == LINE


def test_process_whose_log_is_broken_goes_on() -> None:
    code = (
        "import structlog; from dicom_node.logs import configure_logs\n"
        "configure_logs('json'); structlog.get_logger().error('step_failed'); print('went on')"
    )
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, check=True, text=True
        )

    assert ended.stdout == "went on\n"
