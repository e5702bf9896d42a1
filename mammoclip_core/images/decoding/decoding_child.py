"""The process that decodes images for a ``DecodingPool``, one after the other; it may die.

Its argument is the descriptor of a socket, by which paths come and images go: ``decoding_process``.
"""

import json
import math
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mammoclip_core.freed_memory import keep_freed_memory
from mammoclip_core.images.decoding.decoding_effort import HEADER_EFFORT, Effort, decoding_effort

READY: Final = b"ready"
LONGEST_MESSAGE: Final = 65_536
_MARGIN_SECONDS: Final = 5
_LONGEST_REASON: Final = 2000


def main() -> None:
    """Answer requests until the other end of the socket is closed."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    _restrict()
    keep_freed_memory()
    # Loaded before the first image, whose time and memory are measured.
    import mammoclip_core.images.image_file  # noqa: F401

    connection.send(READY)
    while True:
        request, blocks, _, _ = socket.recv_fds(connection, LONGEST_MESSAGE, 1)
        if not request:
            return
        _answer(json.loads(request), blocks[0], connection)
        os.close(blocks[0])
        signal.setitimer(signal.ITIMER_REAL, 0)


def limit(effort: Effort) -> None:
    """Have the system end this process when a step takes more than it may."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime + effort.processor_seconds)
    _bound(resource.RLIMIT_CPU, used)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    memory = pages * resource.getpagesize() + effort.memory_bytes
    _bound(resource.RLIMIT_AS, memory)
    # Whoever asked has stopped waiting by then, or is gone.
    signal.setitimer(signal.ITIMER_REAL, effort.seconds + _MARGIN_SECONDS)


def _bound(kind: int, value: int) -> None:
    """Set a limit that can be raised again for the next image, within what the site allows."""
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        value = min(value, highest)
    resource.setrlimit(kind, (value, highest))


def _restrict() -> None:
    # A core dump would hold patient data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Service managers and terminals send these to every process: the one that asks decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM, signal.SIGXCPU})
    # Where memory is short, this process ends before the one that asked.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def _answer(request: dict[str, Any], block: int, connection: socket.socket) -> None:
    from mammoclip_core.errors import PixelError
    from mammoclip_core.images.decoding.image_message import to_message
    from mammoclip_core.images.image_file import read_image

    def before_decoding(pixels: int, encoded_bytes: int) -> None:
        connection.send(json.dumps({"effort": [pixels, encoded_bytes]}).encode())
        limit(decoding_effort(pixels, encoded_bytes))

    path = Path(request["path"])
    limit(HEADER_EFFORT)
    try:
        message, arrays = to_message(read_image(path, request["frame"], before_decoding))
        start = 0
        for array in arrays:
            start = _write(block, array.data.cast("B"), start)
    except PixelError as error:
        message = {"problem": str(error)[:_LONGEST_REASON]}
    except Exception as error:  # noqa: BLE001  damaged files can raise any error
        reason = f"{path.name}: the image cannot be read: {type(error).__name__}"
        message = {"problem": reason}
    connection.send(json.dumps(message).encode())


def _write(block: int, content: memoryview, start: int) -> int:
    """Write to a block; return where the next part begins."""
    while content:
        written = os.pwrite(block, content, start)
        content, start = content[written:], start + written
    return start


if __name__ == "__main__":
    main()
