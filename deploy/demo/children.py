"""The processes of one run: started with a log each, watched, and stopped whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deploy.demo.errors import DemonstrationError

_PAUSE_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 10.0
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    may_be_killed: bool


class Children:
    """Child processes, each in a process group of its own; all are gone when the block ends.

    Parameters
    ----------
    folder : for the logs
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        may_be_killed: bool = False,
    ) -> None:
        """Start one process with its output in ``NAME.log``.

        Parameters
        ----------
        may_be_killed : bool
            True for a process whose data nobody needs after the run and that stops slowly.
        """
        log = self._folder / f"{name}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                list(command),
                cwd=self._folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(_Child(name, process, log, may_be_killed))

    def pid(self, name: str) -> int:
        """Return the number of the process that was started under a name."""
        return next(child.process.pid for child in self._children if child.name == name)

    def check(self) -> None:
        """Raise when a process has ended by itself.

        Raises
        ------
        DemonstrationError
            With the process's exit status and the end of its log.
        """
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                tail = "\n".join(_last_lines(child.log))
                raise DemonstrationError(
                    f"{child.name} ended with exit status {status}; the end of its log:\n{tail}"
                )

    def wait_until(
        self, condition: Callable[[], bool], *, what: str, deadline_seconds: float
    ) -> None:
        """Wait for a fact while all processes live.

        Raises
        ------
        DemonstrationError
            A process ended, or the fact did not come about in time.
        """
        give_up_at = time.monotonic() + deadline_seconds
        while not condition():
            self.check()
            if time.monotonic() > give_up_at:
                raise DemonstrationError(f"{what}: timeout after {deadline_seconds:.0f} seconds")
            time.sleep(_PAUSE_SECONDS)

    def stop(self) -> None:
        """Ask every process to stop, wait a little, and kill what is left of its group."""
        for child in self._children:
            if child.process.poll() is None and not child.may_be_killed:
                child.process.terminate()
        give_up_at = time.monotonic() + _STOP_SECONDS
        for child in self._children:
            if not child.may_be_killed:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.0, give_up_at - time.monotonic()))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
        self._children.clear()


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def answers(port: int) -> bool:
    """Tell whether something on loopback accepts connections at this port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _last_lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
