"""Processes that a test starts by itself: they end with it, also where it fails."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def started_process(command: Sequence[Any], **options: Any) -> "Iterator[subprocess.Popen[Any]]":
    """Run a command until the block ends; then what is left of it is killed, with its children.

    Parameters
    ----------
    options : of `subprocess.Popen`
    """
    process = subprocess.Popen([*map(str, command)], start_new_session=True, **options)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):  # what was written and never read
                    pipe.close()
