"""Requests for storage commitment in the spool: safe on disk before they are answered."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.disk_trouble import disk_trouble
from dicom_node.spool.local_disk import flush_folder
from dicom_node.spool.private_files import create_private_file, make_private_folder

MOST_WAITING: Final = 200
"""Requests that may wait at once, of one megabyte at most each."""

_SUFFIX: Final = ".request"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRequest:
    """One N-ACTION request as it came (PS3.4 J.3.2).

    Attributes
    ----------
    content : the data set, in its transfer syntax
    """

    calling_ae_title: str
    called_ae_title: str
    transfer_syntax: str
    content: bytes


class SenderRequests:
    """The folder ``commitment`` of a spool.

    Parameters
    ----------
    root : folder of the spool, which exists
    """

    def __init__(self, root: Path) -> None:
        self._partial = root / "partial"
        self._folder = root / "commitment"

    def keep(self, request: SenderRequest) -> None:
        """Write a request; on return the file and its folder are flushed to disk.

        Raises
        ------
        OutOfResourcesError
            Too many requests wait, or the disk cannot be written.
        """
        head = {name: value for name, value in asdict(request).items() if name != "content"}
        name = f"{time.time_ns():019d}-{secrets.token_hex(8)}"
        # Named like an object that is coming: the node clears it away after a crash.
        partial = self._partial / f"incoming-{os.getpid()}-{name}"
        with disk_trouble():
            make_private_folder(self._folder)
            if sum(1 for _ in self._folder.iterdir()) >= MOST_WAITING:
                raise OutOfResourcesError(f"{MOST_WAITING} requests for storage commitment wait")
            try:
                with create_private_file(partial) as stream:
                    stream.write(json.dumps(head).encode() + b"\n" + request.content)
                    stream.flush()
                    os.fsync(stream.fileno())
                partial.rename(self._folder / f"{name}{_SUFFIX}")
            except BaseException:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
            flush_folder(self._folder)

    def waiting(self) -> Iterator[tuple[Path, datetime, SenderRequest | None]]:
        """Yield what waits, the oldest first, with when it came; None for a file that is none."""
        if not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if file.is_symlink() or not file.is_file():
                continue
            yield file, *_read(file)

    def drop(self, file: Path) -> None:
        """Delete a request that is in the ledger."""
        with disk_trouble():
            file.unlink(missing_ok=True)


def _read(file: Path) -> tuple[datetime, SenderRequest | None]:
    head, _, content = file.read_bytes().partition(b"\n")
    try:
        at = datetime.fromtimestamp(int(file.name.partition("-")[0]) / 1e9, UTC)
        return at, SenderRequest(content=content, **json.loads(head))
    except (ValueError, TypeError, OverflowError):
        return datetime.now(UTC), None
