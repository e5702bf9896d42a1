"""The spool: the folder where received objects and results are kept, safe from a crash."""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError, OutOfResourcesError
from dicom_node.spool.names import (
    FILE_SUFFIX,
    Receipt,
    incoming_place,
    new_association_token,
    result_place,
)


class SpoolInUseError(NodeError):
    """Another node process works on this spool."""

    reason = "spool-in-use"


class Spool:
    """A folder on a local disk with everything that must survive a crash.

    ``partial`` holds files being written, ``incoming`` what was answered 0x0000 and not yet
    registered, ``studies`` and ``set-aside`` what the ledger knows, ``results`` what was made.

    Parameters
    ----------
    root : folder
        Made when missing.
    minimum_free_bytes : bytes
        With less space left, nothing more is kept.
    """

    def __init__(self, root: Path, *, minimum_free_bytes: int = 0) -> None:
        self.root = root
        self._minimum_free_bytes = minimum_free_bytes
        with _disk_trouble():
            for name in ("partial", "incoming", "studies", "set-aside", "results"):
                (root / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the spool for one node process, and clear what a killed one left half written.

        Raises
        ------
        SpoolInUseError
            Another process holds it.
        """
        with (self.root / "node.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SpoolInUseError(f"another node process works on {self.root}") from None
            # Workers write their results through the same folder and may be at it.
            for leftover in (self.root / "partial").glob("incoming-*"):
                leftover.unlink()
            yield

    def keep(self, chunks: Iterable[bytes | memoryview], receipt: Receipt) -> None:
        """Put one received object on disk; on return the file and its folder are flushed.

        Raises
        ------
        OutOfResourcesError
            Too little space is left; nothing remains of the object.
        """
        if shutil.disk_usage(self.root).free < self._minimum_free_bytes:
            raise OutOfResourcesError("less free disk space than minimum_free_bytes")
        self._write(chunks, self.incoming_file(receipt), purpose="incoming")

    def incoming(self) -> list[Receipt]:
        """List what waits for the registrar, oldest first."""
        files = (self.root / "incoming").glob(f"*{FILE_SUFFIX}")
        receipts = (Receipt.parse(file.name.removesuffix(FILE_SUFFIX)) for file in files)
        return sorted(receipt for receipt in receipts if receipt is not None)

    def incoming_file(self, receipt: Receipt) -> Path:
        """Return the file of an object that waits for the registrar."""
        return self.root / incoming_place(receipt)

    def file_away(self, receipt: Receipt, place: str) -> None:
        """Move an object from ``incoming`` to its place; safe to repeat after a crash."""
        source, target = self.incoming_file(receipt), self.root / place
        if not source.exists() and target.exists():
            return
        with _disk_trouble():
            self._make_folder(target.parent)
            source.rename(target)
            # Target first: a power cut between the two may leave both names, never neither.
            flush_folder(target.parent)
            flush_folder(source.parent)

    def drop(self, receipt: Receipt) -> None:
        """Delete an object from ``incoming`` of which the spool holds an equal copy."""
        self.incoming_file(receipt).unlink(missing_ok=True)

    def take_back(self, place: str) -> Receipt | None:
        """Put an object that was set aside before the registrar once more.

        None where it is not there: it was taken back before by a process that was then killed.
        """
        receipt = Receipt.new(new_association_token())
        try:
            with _disk_trouble():
                self.file(place).rename(self.incoming_file(receipt))
                flush_folder(self.root / "incoming")
        except FileNotFoundError:
            return None
        return receipt

    def keep_result(self, content: bytes, analysis_id: int, version: int, name: str) -> str:
        """Write one result object and flush it; return its place relative to the root."""
        place = result_place(analysis_id, version, name)
        with _disk_trouble():
            self._make_folder((self.root / place).parent)
        self._write([content], self.root / place, purpose="result")
        return place

    def file(self, place: str) -> Path:
        """Return the file of a place that the ledger names.

        Raises
        ------
        ValueError
            The place lies outside the spool.
        """
        path = (self.root / place).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError("a place outside the spool")
        return path

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            flush_folder(folder.parent)

    def _write(self, chunks: Iterable[bytes | memoryview], target: Path, *, purpose: str) -> None:
        partial = self.root / "partial" / f"{purpose}-{secrets.token_hex(16)}"
        try:
            with partial.open("xb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
                stream.flush()
                # The content before the name: a journalling file system may keep a rename
                # across a power cut and lose the bytes that were written before it.
                os.fsync(stream.fileno())
            partial.rename(target)
            # The name itself is the folder's content and is not safe until that is flushed.
            flush_folder(target.parent)
        except OSError as error:
            with suppress(OSError):  # a disk that has become read-only takes no deletion either
                partial.unlink(missing_ok=True)
            # Whatever the disk has, the sender may try later, and somebody must look at it.
            raise _out_of_resources(error) from error


_DISK_TROUBLE: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMLINK, errno.EFBIG}
)
"""What a disk answers that is full, over its quota, read-only or broken."""


@contextmanager
def _disk_trouble() -> Iterator[None]:
    """Say of a full or broken disk that it is one; it is no study's fault."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_TROUBLE:
            raise
        raise _out_of_resources(error) from error


def _out_of_resources(error: OSError) -> OutOfResourcesError:
    return OutOfResourcesError(f"the spool cannot be written: {error.strerror}")


def flush_folder(folder: Path) -> None:
    """Make the names in a folder as durable as the files that they name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
