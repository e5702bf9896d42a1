"""The audit file of a spool: lines are added to its end and flushed, by any process."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dicom_node.audit.chained_lines import START, line_of, parsed
from dicom_node.errors import NodeError
from dicom_node.spool.files.lasting_folders import LastingFolders

NAME: Final = "audit.jsonl"
LONGEST_TEXT: Final = 2000
"""Characters of one value of an entry."""

_TAIL_BYTES: Final = 1 << 20
_MODE: Final = 0o600


class AuditError(NodeError):
    """The audit file cannot be written, so nothing that it should tell of is done."""

    reason = "audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last line of an audit file.

    Attributes
    ----------
    number : of that line, from 1 on; 0 for a file without any
    digest : 64 hexadecimal digits
    """

    number: int = 0
    digest: str = START


class AuditFile:
    """The file ``audit.jsonl`` of a spool.

    Parameters
    ----------
    root : folder of the spool, which exists
    """

    def __init__(self, root: Path) -> None:
        self.path = root / NAME
        self._lasting = LastingFolders(root)

    def append(self, entry: Mapping[str, Any]) -> Head:
        """Add an entry; on return it is flushed to disk.

        The entry gets its ``number``. What a crash has left of a line is replaced, and the entry
        says how many bytes that were.

        Raises
        ------
        AuditError
            The file cannot be written.
        """
        try:
            with self._locked() as descriptor:
                head, whole, torn = _tail(descriptor)
                numbered = {**_bounded(entry), "number": head.number + 1}
                if torn:
                    numbered["torn_bytes"] = torn
                    os.ftruncate(descriptor, whole)
                line = line_of(numbered, head.digest)
                _write_whole(descriptor, line, at=whole)
        except OSError as error:
            raise AuditError(
                f"{self.path} cannot be written ({error.strerror}): nothing was done, since "
                "nobody could tell afterwards who did it"
            ) from error
        found = parsed(line[:-1])
        assert found is not None, "a line that was just made"
        return Head(number=head.number + 1, digest=found[0])

    def head(self) -> Head:
        """Return the last whole line; number 0 if there is no file."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return Head()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return _tail(descriptor)[0]
        finally:
            os.close(descriptor)

    def lines(self) -> Iterator[bytes]:
        """Yield every line with its line feed, the last one perhaps without; nothing if none."""
        try:
            with self.path.open("rb") as stream:
                yield from stream
        except FileNotFoundError:
            return

    @contextmanager
    def _locked(self) -> Iterator[int]:
        is_new = not self.path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._lasting.confirm(self.path, is_new=is_new)
            yield descriptor
        finally:
            os.close(descriptor)


def _tail(descriptor: int) -> tuple[Head, int, int]:
    """Return the last whole line, where it ends, and how many bytes come after it."""
    size = os.fstat(descriptor).st_size
    start = max(size - _TAIL_BYTES, 0)
    content = os.pread(descriptor, size - start, start)
    whole = content[: content.rfind(b"\n") + 1]
    end = start + len(whole)
    if not whole:
        return Head(), 0, size
    found = parsed(whole[:-1].rpartition(b"\n")[2])
    if found is not None and isinstance(found[1].get("number"), int):
        return Head(number=found[1]["number"], digest=found[0]), end, size - end
    # Somebody has altered it: verify says so. What comes next follows nothing, and says its place.
    return Head(number=_count_lines(descriptor, end)), end, size - end


def _count_lines(descriptor: int, end: int) -> int:
    count, place = 0, 0
    while place < end:
        portion = os.pread(descriptor, min(_TAIL_BYTES, end - place), place)
        count, place = count + portion.count(b"\n"), place + len(portion)
    return count


def _write_whole(descriptor: int, line: bytes, *, at: int) -> None:
    try:
        written = os.pwrite(descriptor, line, at)
        while written < len(line):
            written += os.pwrite(descriptor, line[written:], at + written)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, at)  # a disk that is full has room for less, never for half
        raise


def _bounded(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Cut texts to their length: a line stays far shorter than what is read of the end."""
    return {
        key: value[:LONGEST_TEXT] if isinstance(value, str) else value
        for key, value in entry.items()
    }
