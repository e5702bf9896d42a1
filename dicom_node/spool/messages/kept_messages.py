"""Messages that peers send beside objects: on disk before they are answered, and read later."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import create_private_file, make_lasting_folders

_SUFFIX: Final = ".message"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage:
    """A message that waits to be read.

    Attributes
    ----------
    head : what it was kept with; empty for a file that is no message
    """

    file: Path
    came_at: datetime
    head: dict[str, Any]
    content: bytes


class KeptMessages:
    """A folder of a spool with messages of one kind.

    Parameters
    ----------
    root : folder of the spool, which exists
    name : of the folder in it
    most : how many may wait: each peer may send as many as it likes
    what : the messages in words, in the plural
    """

    def __init__(self, root: Path, name: str, *, most: int, what: str) -> None:
        self._partial = root / "partial"
        self._folder = root / name
        self._most = most
        self._what = what

    def keep(self, head: dict[str, Any], content: bytes) -> None:
        """Write a message; on return the file and its folder are flushed to disk.

        Raises
        ------
        OutOfResourcesError
            Too many wait, or the disk cannot be written.
        """
        name = f"{time.time_ns():019d}-{secrets.token_hex(8)}"
        # Named like an object that is coming: the node clears it away after a crash.
        partial = self._partial / f"incoming-{os.getpid()}-{name}"
        with disk_trouble():
            make_lasting_folders(self._folder.parent, [self._folder])
            if sum(1 for _ in self._folder.iterdir()) >= self._most:
                raise OutOfResourcesError(f"{self._most} {self._what} wait")
            try:
                with create_private_file(partial) as stream:
                    stream.write(json.dumps(head).encode() + b"\n" + content)
                    stream.flush()
                    os.fsync(stream.fileno())
                partial.rename(self._folder / f"{name}{_SUFFIX}")
            except BaseException:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
            flush_folder(self._folder)

    def files(self) -> frozenset[Path]:
        """Return the files of the messages that wait."""
        return frozenset(self._folder.glob(f"*{_SUFFIX}"))

    def waiting(self) -> Iterator[KeptMessage]:
        """Yield the messages that wait, the oldest first; links and folders are passed over."""
        for file in sorted(self.files()):
            if not file.is_symlink() and file.is_file():
                yield _read(file)

    def drop(self, file: Path) -> None:
        """Delete a message that was read."""
        with disk_trouble():
            file.unlink(missing_ok=True)


def _read(file: Path) -> KeptMessage:
    line, _, content = file.read_bytes().partition(b"\n")
    try:
        at = datetime.fromtimestamp(int(file.name.partition("-")[0]) / 1e9, UTC)
        head = json.loads(line)
    except (ValueError, OverflowError):
        at, head = datetime.now(UTC), {}
    return KeptMessage(
        file=file, came_at=at, head=head if isinstance(head, dict) else {}, content=content
    )
