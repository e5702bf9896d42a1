"""Copies a spool that is in use, and finds out in a restored one what its ledger does not know.

Messages are copied first, then the ledger, then what has arrived, then everything else, messages
once more: one that is entered in the ledger meanwhile, and then removed, is in one of both; one
that is in both is entered again, as after a crash. What was registered in
between is in the copy without a row; a restored spool says of itself that such objects are to be
registered again, so nothing that was copied is lost.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError
from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import (
    create_private_file,
    make_lasting_folders,
    make_private_folder,
)
from dicom_node.spool.names import FILE_SUFFIX, Receipt, incoming_place

_MARK: Final = "back-up.json"
_UNFINISHED: Final = "back-up.unfinished"

_OF_THE_ROOT: Final = ("identity.key", "receipts.key", "erased.jsonl", "audit.jsonl")
_MESSAGES: Final = ("commitment", "reports", "hl7", "announced")
_FOLDERS: Final = (
    "incoming",
    *_MESSAGES,
    "audit-queue",
    "polls",
    "set-aside",
    "studies",
    "results",
    "incoming",
)
"""In this order; once more what has arrived, since 'retry' moves objects there."""


class BackUpError(NodeError):
    """A folder is no place for a back-up, or a back-up is not complete."""

    reason = "back-up"


class BackUp:
    """A copy of a spool that is being made.

    Parameters
    ----------
    folder : new or empty

    Raises
    ------
    BackUpError
        It holds something.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise BackUpError(f"{folder} is not empty: name a new folder for each back-up")
        make_lasting_folders(folder, [])
        self.folder = folder
        self._folders: set[Path] = set()
        self.files = self.size_bytes = 0
        with create_private_file(folder / _UNFINISHED):
            pass
        # Before anything else is there: what a power cut leaves is known to be half.
        flush_folder(folder)

    def copy_messages(self, root: Path) -> None:
        """Copy the messages that wait in a spool, before its ledger."""
        self._copy_folders(root, _MESSAGES)

    def copy_spool(self, root: Path) -> None:
        """Copy the files of a spool, after its ledger; one that is moved meanwhile comes later."""
        for name in _OF_THE_ROOT:
            self._copy(root / name, self.folder / name)
        self._copy_folders(root, _FOLDERS)

    def _copy_folders(self, root: Path, names: Sequence[str]) -> None:
        for name in names:
            for file in _files(root / name):
                self._copy(file, self.folder / file.relative_to(root))

    def finish(self, **facts: str) -> None:
        """Say that the back-up is complete: a node that starts on it restores itself.

        On return all of it is flushed to disk.
        """
        for folder in (*self._folders, self.folder):
            flush_folder(folder)
        with create_private_file(self.folder / _MARK) as stream:
            stream.write(json.dumps(facts).encode())
            stream.flush()
            os.fsync(stream.fileno())
        # One of both at every moment: without either it would be taken for a common spool.
        flush_folder(self.folder)
        (self.folder / _UNFINISHED).unlink()
        flush_folder(self.folder)

    def _copy(self, source: Path, target: Path) -> None:
        if target.exists():
            return
        missing = [one for one in target.parents if not one.exists()]
        for folder in reversed(missing):
            make_private_folder(folder)
            self._folders.add(folder)
        # Registered, or removed, since it was listed.
        with suppress(FileNotFoundError), source.open("rb") as reader:
            with create_private_file(target) as stream:
                shutil.copyfileobj(reader, stream, 2**20)
                stream.flush()
                os.fsync(stream.fileno())
            self.files += 1
            self.size_bytes += target.stat().st_size


def is_restored(root: Path) -> bool:
    """Return whether a spool is a back-up that no node has worked on yet.

    Raises
    ------
    BackUpError
        It is one that was never finished.
    """
    if (root / _UNFINISHED).exists():
        raise BackUpError(
            f"{root} holds a back-up that was not completed, and may lack images: restore another"
        )
    return (root / _MARK).exists()


def filed_receipts(root: Path) -> Iterator[tuple[Receipt, Path]]:
    """Yield what lies where registered objects and those that are set aside do."""
    for name in ("studies", "set-aside"):
        for file in _files(root / name):
            receipt = Receipt.parse(file.name.removesuffix(FILE_SUFFIX))
            if receipt is not None:
                yield receipt, file


def receive_again(root: Path, receipt: Receipt, file: Path) -> None:
    """Move an object to where the registrar finds what has arrived."""
    file.rename(root / incoming_place(receipt))


def forget_restoring(root: Path) -> None:
    """Let a restored spool be as any other: everything in it has been registered."""
    flush_folder(root / "incoming")
    (root / _MARK).unlink()
    flush_folder(root)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; links are no part of a spool."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
