"""The bar of a long command: on a terminal, and nowhere else."""

import io
import os
import pty
import sys
from collections.abc import Iterator

import pytest

from mammoclip_core.commands.progress_bar import counted


def count(steps: int) -> None:
    with counted(steps, "images") as on_image:
        for _ in range(steps):
            on_image()


def shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, steps: int) -> str:
    """Count with a terminal for standard error; return what it was sent."""
    monkeypatch.setenv("TERM", "xterm")
    far, near = pty.openpty()
    with os.fdopen(far, "rb", buffering=0) as screen:
        with os.fdopen(near, "w") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            count(steps)
        return b"".join(received(screen)).decode()


def received(screen: io.FileIO) -> Iterator[bytes]:
    """Everything sent to the terminal: it arrives piece by piece, after the writer's call."""
    while True:
        try:
            piece = screen.read(1 << 16)
        except OSError:  # How Linux says that the other side is closed and all was read.
            return
        if not piece:
            return
        yield piece


def test_terminal_shows_how_many_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shown_on_a_terminal(monkeypatch, 3)

    assert "images" in shown
    assert "3/3" in shown


def test_one_step_is_worth_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_on_a_terminal(monkeypatch, 1) == ""


def test_nothing_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    count(3)

    assert capsys.readouterr() == ("", "")
