"""A process that decodes, whose JPEG-LS codec does what a damaged one may: for DecodingPool.

Its arguments are what the codec does, a file that says that it was done once, and the socket.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mammoclip_core.images.decoding import decoding_child, frame_decoding
from mammoclip_core.images.decoding.decoding_effort import Effort


def segfault() -> None:
    ctypes.string_at(0)


def hang() -> None:
    ctypes.PyDLL(None).sleep(600)  # as C code does: nothing of Python runs meanwhile


def compute() -> None:
    while True:
        pass


def eat_memory() -> None:
    held = []
    while True:
        held.append(bytes(2**20))


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


DEEDS: Mapping[str, Callable[[], object]] = {
    "segfault": segfault,
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "hang": hang,
    "compute": compute,
    "eat memory": eat_memory,
    "be killed": be_killed,
    "stop": stop,
    "raise": lambda: 1 / 0,
    "wait": lambda: time.sleep(0.2),
}


def command(deed: str, marker: Path | None = None) -> list[str]:
    """Return the command line of such a process; with a file, the codec does it once only."""
    return [sys.executable, __file__, deed, str(marker or "")]


def main() -> None:
    deed, marker = sys.argv[1:3]
    sys.argv = [sys.argv[0], sys.argv[3]]
    decoders: Any = frame_decoding._DECODERS
    codec = decoders["1.2.840.10008.1.2.4.80"]

    def decode(encoded: bytes) -> Any:
        if not (marker and Path(marker).exists()):
            if marker:
                Path(marker).touch()
            DEEDS[deed]()
        return codec(encoded)

    decoders["1.2.840.10008.1.2.4.80"] = decode
    decoding_child.decoding_effort = lambda _pixels, _bytes: Effort(
        memory_bytes=256 * 2**20, processor_seconds=1, seconds=60
    )
    decoding_child.main()


if __name__ == "__main__":
    main()
