"""Where log lines go: standard error, without ever waiting for whoever reads it."""

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TextIO

_PATIENCE_SECONDS: Final = 1.0

_Writer = tuple[Callable[[memoryview], int], int, Callable[[], None]]


class LogStream:
    """Writes lines to a stream; a line that cannot be written is counted and given up.

    A log collector that hangs or ends, and a disk that is full, cost log lines, never the thread
    that wrote them. Once a line can be written again, it is preceded by one that tells how many
    were lost.

    Parameters
    ----------
    stream : text stream
        A pipe, a socket, a file or a terminal.
    tell_lost : callable
        Makes the line, with its line feed, that tells a number of lost ones.
    """

    def __init__(self, stream: TextIO, tell_lost: Callable[[int], str]) -> None:
        self._tell_lost = tell_lost
        self._put, self._descriptor, self._close = _writer_for(stream)
        self._lost = 0
        self._is_cut = False

    def write(self, line: str) -> None:
        """Write a line, which ends with its line feed; raises nothing."""
        before = "\n" if self._is_cut else ""
        if self._lost:
            before += self._tell_lost(self._lost)
        content = memoryview((before + line).encode(errors="replace"))
        try:
            left = self._written_in_time(content)
        except (OSError, ValueError):  # its reader has gone, its disk is full, or it is closed
            left = len(content)
        if left:
            self._lost += 1
            self._is_cut = self._is_cut or left < len(content)
        else:
            self._lost, self._is_cut = 0, False

    def close(self) -> None:
        """Close what was opened for writing; the stream itself stays open."""
        self._close()

    def flush(self) -> None:
        """Do nothing: every line is written at once."""

    def _written_in_time(self, content: memoryview) -> int:
        """Write as much as can be; return how many bytes were not."""
        # Who had no time for the line before is not waited for again: every thread would be.
        patience = 0.0 if self._lost else _PATIENCE_SECONDS
        while content:
            try:
                content = content[self._put(content) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                if not patience or not poll.poll(1000 * patience):
                    break
        return len(content)


def _writer_for(stream: TextIO) -> _Writer:
    """Return how bytes are written to a stream, without waiting where the system can do so."""
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, TypeError, AttributeError):  # a stream in memory, or of a library
        return partial(_put_into, stream), -1, _keep_open
    if stat.S_ISSOCK(mode):
        line = socket.socket(fileno=os.dup(descriptor))
        return lambda content: line.send(content, socket.MSG_DONTWAIT), line.fileno(), line.close
    if stat.S_ISFIFO(mode):
        # Opened anew: the descriptor's own mode is shared with other programs that write to it.
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
            own = os.open(f"/proc/self/fd/{descriptor}", flags)
            return partial(os.write, own), own, partial(os.close, own)
    return partial(os.write, descriptor), descriptor, _keep_open


def _put_into(stream: TextIO, content: memoryview) -> int:
    stream.write(str(content, "utf-8"))
    stream.flush()
    return len(content)


def _keep_open() -> None:
    """Leave the stream to whoever opened it."""
