"""The spool: the folder where received objects and results are kept, safe from a crash."""

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError, OutOfResourcesError
from dicom_node.spool.content import Content, parts_of
from dicom_node.spool.files.disk_trouble import disk_trouble, out_of_resources
from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.folder_markers import mark, require_marked
from dicom_node.spool.files.lasting_folders import LastingFolders
from dicom_node.spool.files.private_files import (
    close_to_others,
    create_private_file,
    ensure_private_file,
    make_lasting_folders,
    of_other_accounts,
    tighten,
)
from dicom_node.spool.files.removal import remove_file, remove_folder, remove_if_empty
from dicom_node.spool.names import (
    Receipt,
    incoming_place,
    incoming_receipts,
    new_association_token,
    result_place,
)
from dicom_node.spool.receipt_clock import ReceiptClock


class SpoolInUseError(NodeError):
    """Another node process uses this spool."""

    reason = "spool-in-use"


class Spool:
    """A folder on a local disk with everything that must survive a crash.

    Its folders: ``partial`` for files being written, ``incoming`` for objects that were answered
    0x0000 and are not registered yet, ``studies`` and ``set-aside`` for registered objects,
    ``results`` for result objects, and ``associations`` for the places of open associations.

    Parameters
    ----------
    root : folder
        Created if missing.
    minimum_free_bytes : bytes
        With less free space, received objects are refused.
    """

    def __init__(self, root: Path, *, minimum_free_bytes: int = 0) -> None:
        self.root = root
        self.associations = root / "associations"
        self.receipts = ReceiptClock(root)
        self._minimum_free_bytes = minimum_free_bytes
        self.lasting = LastingFolders(root)
        self._moves_together = False
        self._moved_into: set[Path] = set()
        with disk_trouble():
            make_lasting_folders(root, self._folders())

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Lock the spool for one node process, and delete half-written files of a killed one.

        Raises
        ------
        SpoolInUseError
            Another node process holds the lock.
        """
        ensure_private_file(self.root / "node.lock")
        with (self.root / "node.lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SpoolInUseError(
                    f"another node process works on {self.root}: stop it, or set another spool"
                ) from None
            # Only the node's own files: a worker may be writing a result in the same folder.
            # One that is gone belonged to a receiving process that outlived its node for a moment.
            for leftover in (self.root / "partial").glob("incoming-*"):
                leftover.unlink(missing_ok=True)
            mark(self.root, ("studies", "set-aside", "results"))
            yield

    def require_usable(self) -> None:
        """Write to the folders that workers write to, and read the one that they read.

        Raises
        ------
        OutOfResourcesError
            The disk is full, read-only or broken, or the folders are closed to this process.
        """
        for folder in ("partial", "results"):
            trial = self.root / folder / f"trial-{secrets.token_hex(16)}"
            with disk_trouble(), _deleted_at_the_end(trial), create_private_file(trial) as stream:
                stream.write(bytes(_TRIAL_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
        self.require_readable()

    def require_readable(self) -> None:
        """Raise OutOfResourcesError if registered objects or results are away or cannot be read."""
        for name in ("studies", "results"):
            with disk_trouble(), os.scandir(self.root / name) as entries:
                next(entries, None)
                require_marked(self.root, name)

    def close_to_others(self) -> list[Path]:
        """Take everybody else's permissions from a spool of an earlier release.

        Returns
        -------
        list of Path
            What another account can read all the same, since it is the owner.
        """
        files = [self.root / name for name in ("node.lock", "identity.key", "receipt.clock")]
        closed = [file for file in files if file.exists() and not close_to_others(file)]
        for folder in self._folders():
            closed.extend(tighten(folder))
        # Nothing else in the root is the spool's: a site may keep other files there.
        close_to_others(self.root)
        folders = [self.root, *self._folders()]
        # Root reads everything, whoever is the owner.
        return [*closed, *of_other_accounts(folders, frozenset({0, os.geteuid()}))]

    def _folders(self) -> list[Path]:
        names = ("partial", "incoming", "associations", "studies", "set-aside", "results")
        return [self.root / name for name in names]

    def keep(
        self,
        chunks: Iterable[bytes | memoryview],
        receipt: Receipt | Callable[[], Receipt],
        *,
        purpose: str = "incoming",
    ) -> None:
        """Write one received object; on return the file and its folder are flushed to disk.

        Parameters
        ----------
        chunks : iterable
            Each is written before the next is asked for, so that an object may be taken as it
            comes. What it raises passes through, and nothing remains of the object.
        receipt : Receipt or callable
            Or what makes it once the object is whole.
        purpose : str
            Begins the name of the unfinished file; the node deletes "incoming" when it starts.

        Raises
        ------
        OutOfResourcesError
            The disk is full or cannot be written; nothing remains of the object.
        """
        self.require_space()

        def file() -> Path:
            return self.incoming_file(receipt if isinstance(receipt, Receipt) else receipt())

        self._write(self._while_space(chunks), file, purpose=f"{purpose}-{os.getpid()}")

    def clear_partial(self, process: int) -> None:
        """Delete the half-written objects of a process that has ended."""
        for leftover in (self.root / "partial").glob(f"incoming-{process}-*"):
            leftover.unlink(missing_ok=True)

    def incoming(self) -> list[Receipt]:
        """List the objects that wait for the registrar, oldest first."""
        return incoming_receipts(self.root)

    def incoming_file(self, receipt: Receipt) -> Path:
        """Return the file of an object that waits for the registrar."""
        return self.root / incoming_place(receipt)

    @property
    def accounts(self) -> frozenset[int]:
        """User IDs that received files have: this process's, or that which a mount gives all."""
        return frozenset({os.geteuid(), (self.root / "incoming").stat().st_uid})

    def doubt_about(self, receipt: Receipt) -> str:
        """Return why the node cannot have put an object into ``incoming``; else nothing."""
        try:
            status = self.incoming_file(receipt).lstat()
        except FileNotFoundError:
            return ""
        if not stat.S_ISREG(status.st_mode):
            return "it is no file but a link, folder, pipe or device"
        if status.st_uid not in self.accounts:
            return f"it belongs to the account with user ID {status.st_uid}"
        if not status.st_mode & stat.S_IRUSR:
            return f"its permissions are {stat.S_IMODE(status.st_mode):04o}, not those of the node"
        return ""

    def file_away(self, receipt: Receipt, place: str) -> None:
        """Move an object from ``incoming`` to its place; safe to repeat after a crash.

        Raises
        ------
        FileNotFoundError
            The object is gone, though the spool is there.
        OutOfResourcesError
            The disk is full, broken or away.
        """
        source, target = self.incoming_file(receipt), self.root / place
        with disk_trouble():
            # Nothing is known of what lies on a disk that is away: it is not lost.
            if not source.parent.is_dir():
                raise OSError(errno.ESTALE, "the folder of the spool is away")
            require_marked(self.root, place.partition("/")[0])
            # Moved already by a process that was then killed, perhaps before it flushed.
            if source.exists() or not target.exists():
                self.lasting.make(target.parent)
                source.rename(target)
            self._moved_into.add(target.parent)
            if not self._moves_together:
                self._flush_moves()

    @contextmanager
    def moves_together(self) -> Iterator[None]:
        """Flush the folders of all moves of a block at its end, each folder once.

        Until then a power cut may undo the moves. For the one thread that moves files.
        """
        self._moves_together = True
        try:
            yield
        finally:
            self._moves_together = False
            with disk_trouble():
                self._flush_moves()

    def _flush_moves(self) -> None:
        if not self._moved_into:
            return
        # Targets first: a power cut in between may leave both names, never neither.
        for folder in sorted(self._moved_into):
            flush_folder(folder)
        flush_folder(self.root / "incoming")
        self._moved_into.clear()

    def drop(self, receipt: Receipt) -> None:
        """Delete an object from ``incoming`` if the spool already holds an equal copy."""
        self.incoming_file(receipt).unlink(missing_ok=True)

    def discard(self, place: str) -> None:
        """Delete the file at a place of the spool; one that is gone already is no error.

        Raises
        ------
        ValueError
            The place lies outside the folders of objects, or a link leads out of them.
        OutOfResourcesError
            The disk is broken, read-only or away.
        """
        remove_file(self.root, place)

    def take_back(self, place: str) -> Receipt | None:
        """Move an object that was set aside back to ``incoming``, as if it arrived now.

        Returns None if its file is gone: a process that was then killed has moved it already.
        """
        try:
            require_marked(self.root, place.partition("/")[0])
            with disk_trouble():
                receipt = self.receipts.new(new_association_token())
                self.file(place).rename(self.incoming_file(receipt))
                flush_folder(self.root / "incoming")
        except FileNotFoundError:
            return None
        return receipt

    def keep_result(self, content: Content, analysis_id: int, version: int, name: str) -> str:
        """Write one result object and flush it; return its place relative to the root."""
        place = result_place(analysis_id, version, name)
        with disk_trouble():
            self.lasting.make((self.root / place).parent)
        self._write(parts_of(content), lambda: self.root / place, purpose="result")
        return place

    def drop_results(self, analysis_id: int, version: int) -> None:
        """Delete what `keep_result` wrote for an attempt that came to no end."""
        folder = result_place(analysis_id, version, "").rpartition("/")[0]
        with suppress(OSError, ValueError, OutOfResourcesError):  # it is asked nothing in trouble
            remove_folder(self.root, folder)

    def discard_results(self, analysis_id: int) -> None:
        """Delete everything that any attempt of an analysis has written.

        Raises
        ------
        ValueError
            A link stands in the place of a folder.
        OutOfResourcesError
            The disk is broken, read-only or away.
        """
        remove_folder(self.root, f"results/{analysis_id}")

    def leave(self, place: str) -> None:
        """Remove the folder of a place if nothing is left in it; for the one that moves files."""
        folder = place.rpartition("/")[0]
        if "/" in folder:
            remove_if_empty(self.root, folder)

    def file(self, place: str) -> Path:
        """Return the file at a place that the ledger gives.

        Raises
        ------
        ValueError
            The place lies outside the spool.
        """
        path = (self.root / place).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"the place {place} is outside the spool")
        return path

    def require_space(self) -> None:
        """Raise OutOfResourcesError if the disk has less free space than objects are kept with."""
        try:
            free = shutil.disk_usage(self.root).free
        except OSError as error:  # the folder is away, or its disk is
            raise out_of_resources(error) from error
        if free < self._minimum_free_bytes:
            raise OutOfResourcesError(
                f"less free disk space in {self.root} than receive.minimum_free_bytes"
            )

    def _while_space(self, chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """Look at the free space again and again while an object comes."""
        unseen = 0
        for chunk in chunks:
            unseen += len(chunk)
            if unseen > _LOOK_AFTER_BYTES:
                self.require_space()
                unseen = 0
            yield chunk

    def _write(
        self, chunks: Iterable[bytes | memoryview], name: Callable[[], Path], *, purpose: str
    ) -> None:
        partial = self.root / "partial" / f"{purpose}-{secrets.token_hex(16)}"
        try:
            with create_private_file(partial) as stream:
                for chunk in chunks:
                    stream.write(chunk)
                target = name()
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
            # Whatever is wrong with the disk, the sender may try later.
            raise out_of_resources(error) from error
        except BaseException:  # the object broke off
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


_LOOK_AFTER_BYTES: Final = 16_000_000
"""How much of an object is written before the free space is looked at again."""

_TRIAL_BYTES: Final = 2**22
"""Size of the file that shows whether the disk can be written: more than most results."""


@contextmanager
def _deleted_at_the_end(file: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)
