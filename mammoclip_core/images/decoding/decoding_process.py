"""One child process that decodes images, with little memory and time for each; it may die."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mammoclip_core.errors import ComputingError, PixelError
from mammoclip_core.images.decoding.decoding_child import LONGEST_MESSAGE, READY
from mammoclip_core.images.decoding.decoding_effort import HEADER_EFFORT, decoding_effort
from mammoclip_core.images.decoding.image_memory import ImageMemory
from mammoclip_core.images.decoding.image_message import from_message
from mammoclip_core.images.stored_image import StoredImage

DECODING_CHILD: Final = (sys.executable, "-m", "mammoclip_core.images.decoding.decoding_child")
_SECONDS_TO_START: Final = 120.0
_OWN_PREFIX: Final = "MAMMOCLIP_"
_KILLED: Final = (
    "the process that decodes images was killed from outside: see the system's log for lack of "
    "memory"
)
_WAITED: Final = (
    "the process that decodes images waited and did not compute: see whether a drive hangs"
)


class DecoderEndedError(Exception):
    """The process ended, or was ended, while it read an image; the text says how.

    Attributes
    ----------
    doubt : what else than the image may have ended it, and where to look; empty if nothing
    """

    def __init__(self, how: str, doubt: str = "") -> None:
        super().__init__(how)
        self.doubt = doubt


class DecodingProcess:
    """A child process that reads one image after the other.

    Pixels come back in memory that both processes share, so they are not copied between them.

    Parameters
    ----------
    memory : for the pixels
    program : command line; the descriptor of its socket is added

    Attributes
    ----------
    images : number of images that it was asked for

    Raises
    ------
    ComputingError
        It does not start: of no image it is the fault.
    OSError
        The system cannot start another process.
    """

    def __init__(self, memory: ImageMemory, program: Sequence[str] = DECODING_CHILD) -> None:
        self.images = 0
        self._memory = memory
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._child = subprocess.Popen(
                [*program, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a library's warnings may quote patient data
                env=_environment(),
            )
        except OSError:
            self._connection.close()
            raise
        finally:
            theirs.close()
        self.close = weakref.finalize(self, _end, self._child, self._connection, os.getpid())
        self._is_ready = False
        self._computed_before = 0.0

    def read(self, path: Path, frame: int, longest_seconds: float = math.inf) -> StoredImage:
        """Read one image as `read_image` does; its arrays cannot be written.

        A picture is named by `path` as it is spelt here, whatever the process is asked for.

        Raises
        ------
        PixelError
            The file holds no such image.
        DecoderEndedError
            The process ended, or took more time than the image may take; it is gone.
        ComputingError
            The process does not start.
        """
        self._require_started()
        self.images += 1
        self._computed_before = _processor_seconds(self._child.pid)
        asked = str(path.absolute())  # it keeps the working folder that it started in
        request = json.dumps({"path": asked, "frame": frame}).encode()
        block = self._memory.take()
        try:
            with suppress(ConnectionError):  # it has ended: then no answer comes either
                socket.send_fds(self._connection, [request], [block])
            answer = self._next(min(HEADER_EFFORT.seconds, longest_seconds))
            if "effort" in answer:
                seconds = decoding_effort(*answer["effort"]).seconds
                answer = self._next(min(seconds, longest_seconds))
        except DecoderEndedError:
            os.close(block)  # it may still be written to, if the process could not be ended
            raise
        if "problem" in answer:
            self._memory.give_back(block)
            raise PixelError(answer["problem"])
        try:
            image = from_message(answer, self._memory.show(block))
        except (LookupError, TypeError, ValueError) as error:
            raise self._ended("its answer is not one") from error
        if image.sop_instance_uid == asked:
            return replace(image, sop_instance_uid=str(path))
        return image

    def _require_started(self) -> None:
        if self._is_ready:
            return
        self._connection.settimeout(_SECONDS_TO_START)
        why = ""
        try:
            self._is_ready = self._connection.recv(LONGEST_MESSAGE) == READY
        except OSError as error:
            why = "it does not answer" if isinstance(error, TimeoutError) else ""
        if not self._is_ready:
            how = self._ended(why)
            raise ComputingError(f"the process that decodes images does not start: {how}")

    def _next(self, seconds: float) -> dict[str, Any]:
        self._connection.settimeout(seconds)
        try:
            content = self._connection.recv(LONGEST_MESSAGE)
        except TimeoutError:
            # A codec computes without end; what does not compute waits, for a drive or its turn.
            computed = _processor_seconds(self._child.pid) - self._computed_before
            doubt = _WAITED if computed < seconds / 2 else ""
            raise self._ended(f"it took more than {seconds:.0f} s", doubt) from None
        except ConnectionError:
            content = b""
        if not content:
            raise self._ended("")
        message: dict[str, Any] = json.loads(content)
        return message

    def _ended(self, why: str, doubt: str = "") -> DecoderEndedError:
        """End the process; return what is known of its end."""
        if not why:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(5.0)  # its exit status says more than that it was killed here
        status = self._child.poll()
        self.close()
        if why:
            return DecoderEndedError(why, doubt)
        # By its own limits, or by a fault of a codec, it ends with other signals.
        return DecoderEndedError(_how_it_ended(status), _DOUBTS.get(status, ""))


def _processor_seconds(process: int) -> float:
    """Return the time that a process has computed; 0 if it is gone (proc(5))."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _environment() -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIX)},
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # One thread and one heap: each would take a part of the memory that the child may have.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }


def _end(child: "subprocess.Popen[bytes]", connection: socket.socket, owner: int) -> None:
    connection.close()
    if os.getpid() != owner:  # a copy of the process that started it, which goes on using it
        return
    child.kill()
    # One that the system holds in the middle of a read ends when it lets go.
    with suppress(subprocess.TimeoutExpired):
        child.wait(5.0)


_DOUBTS: Final[dict[int | None, str]] = {-signal.SIGKILL: _KILLED, -signal.SIGALRM: _WAITED}


def _how_it_ended(status: int | None) -> str:
    if status is None:
        return "it closed its end"
    if status == -signal.SIGXCPU:
        return "it took too much processor time"
    if status == -signal.SIGALRM:
        return "it took too long"
    if status < 0:
        return f"it ended with signal {-status}"
    return f"it ended with exit status {status}"
