"""Frames of the minimal lower layer protocol, in which HL7 v2 messages travel (MLLP release 1)."""

from collections.abc import Callable, Iterator
from typing import Final

START: Final = b"\x0b"
END: Final = b"\x1c\r"


class FrameError(Exception):
    """What comes is no frame, or a larger one than is taken."""


def framed(message: bytes) -> bytes:
    """Return a message in its frame."""
    return START + message + END


def frames(receive: Callable[[], bytes], *, maximum_bytes: int) -> Iterator[bytes]:
    """Yield the messages of a connection until it ends.

    Parameters
    ----------
    receive : returns what has come, and nothing at the end

    Raises
    ------
    FrameError
        Something else than white space stands between two frames, one is larger than
        `maximum_bytes`, or the connection ended within one.
    """
    waiting = bytearray()
    while True:
        start = len(waiting) - len(waiting.lstrip(b"\r\n"))
        del waiting[:start]
        if waiting and not waiting.startswith(START):
            raise FrameError("the message does not begin with 0x0B")
        end = waiting.find(END)
        if end >= 0:
            yield bytes(waiting[1:end])
            del waiting[: end + len(END)]
            continue
        if len(waiting) > maximum_bytes:
            raise FrameError(f"the message has more than {maximum_bytes} bytes")
        part = receive()
        if not part:
            if waiting:
                raise FrameError("the connection ended within a message")
            return
        waiting += part
