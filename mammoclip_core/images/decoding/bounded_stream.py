"""A stream of a data set that ends in an error once too much was read of it.

A few kilobytes of a header can ask for any number of bytes, elements and items.
"""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from mammoclip_core.errors import PixelError

MAXIMUM_HEADER_BYTES: Final = 32 * 2**20
"""Most bytes read before the pixels. Values that are skipped, as private data, do not count."""
MAXIMUM_READS: Final = 400_000
"""Most steps of reading. An element takes two or three, an item of a sequence one, and each costs
some hundred bytes of memory, so that zeros alone could fill the machine."""

_LOOK_EVERY: Final = 256

DEFER_BYTES: Final = 4096
"""Values longer than this are skipped, and read when they are asked for."""


class BoundedStream:
    """A stream that ends in an error once too much was read of it.

    The library reads a value that it skipped when it is asked for, from this stream too.

    Parameters
    ----------
    on_steps : called every few hundred steps; what it raises ends the reading

    Attributes
    ----------
    problem : words, once a bound was passed; else empty
        The library passes some of the errors of a stream on as its own.
    """

    def __init__(
        self, stream: "BinaryIO | ReopenedFile", on_steps: Callable[[], object] = lambda: None
    ) -> None:
        self._stream = stream
        self._on_steps = on_steps
        self._bytes_left = MAXIMUM_HEADER_BYTES
        self._reads_left = MAXIMUM_READS
        self.problem = ""
        self.seek = stream.seek
        self.tell = stream.tell

    def limit_to(self, maximum_bytes: int) -> None:
        """Allow so many bytes from now on."""
        self._bytes_left = maximum_bytes

    def read(self, size: int = -1) -> bytes:
        """Read as a file does; raises PixelError beyond the bounds."""
        self._reads_left -= 1
        if not self._reads_left % _LOOK_EVERY:
            self._on_steps()
        if self._reads_left < 0:
            self._fail(f"the header takes more than {MAXIMUM_READS} steps to read")
        if size < 0 or size > self._bytes_left:
            # A length from the network is not believed: it may be longer than the file.
            size = self._bytes_left + 1
        content = self._stream.read(size)
        self._bytes_left -= len(content)
        if self._bytes_left < 0:
            self._fail("the header is too long")
        return content

    def __deepcopy__(self, _memory: object) -> "BoundedStream":
        """Return itself: the copy of a data set reads its skipped values of the same file."""
        return self

    def _fail(self, problem: str) -> None:
        self.problem = problem
        raise PixelError(problem)


class ReopenedFile:
    """A file to read that holds no descriptor after `close`: a later read opens it for itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._stream: BinaryIO | None = path.open("rb")

    def close(self) -> None:
        """Close the file until the next read."""
        if self._stream is not None:
            self._position = self._stream.tell()
            self._stream.close()
            self._stream = None

    def read(self, size: int = -1) -> bytes:
        """Read as a file does."""
        if self._stream is not None:
            return self._stream.read(size)
        with self._path.open("rb") as stream:
            stream.seek(self._position)
            content = stream.read(size)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as a file does, though not from its end."""
        if self._stream is not None:
            return self._stream.seek(offset, whence)
        self._position = offset + (self._position if whence == 1 else 0)
        return self._position

    def tell(self) -> int:
        """Return the position in the file."""
        return self._position if self._stream is None else self._stream.tell()
