"""Removes files of the spool, and nothing else: no link is followed, whatever lies there."""

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.folder_markers import require_marked

_FOLDERS: Final = frozenset({"studies", "set-aside", "results"})
"""Folders of the spool out of which files are removed; `incoming` holds what no ledger has yet."""

_GONE: Final = frozenset({errno.ENOENT})
_PLANTED: Final = frozenset({errno.ELOOP, errno.ENOTDIR})
"""A link or a file stands where the spool has a folder."""


def remove_file(root: Path, place: str) -> None:
    """Remove the file at a place of the spool and flush its folder; one that is gone is no error.

    A link is removed itself, never what it leads to.

    Raises
    ------
    ValueError
        The place is outside the folders of objects, or a link leads there, or it is a folder.
    OutOfResourcesError
        The disk is broken, read-only or away.
    """
    *folders, name = _parts(place)
    require_marked(root, folders[0])
    with disk_trouble(), _folder(root, folders) as folder:
        if folder is None:
            return
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            pass
        except IsADirectoryError as error:
            raise ValueError(f"{place} is a folder, not a file of the spool") from error
        # Even if it was gone: who removed it may have been killed before it flushed.
        os.fsync(folder)


def remove_folder(root: Path, place: str) -> None:
    """Remove a folder of the spool with its files; one that is gone is no error.

    Raises
    ------
    ValueError
        The place is outside the folders of objects, or a link leads there.
    OutOfResourcesError
        The disk is broken, read-only or away.
    """
    *folders, name = _parts(place)
    require_marked(root, folders[0])
    with disk_trouble(), _folder(root, folders) as folder:
        if folder is None:
            return
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):
            raise ValueError(f"{place} is no folder of the spool")
        # Follows no link within, and none that takes the folder's place meanwhile.
        shutil.rmtree(name, dir_fd=folder)
        os.fsync(folder)


def remove_if_empty(root: Path, place: str) -> None:
    """Remove a folder of the spool if nothing is left in it."""
    *folders, name = _parts(place)
    with suppress(OSError, ValueError), _folder(root, folders) as folder:
        if folder is not None:
            os.rmdir(name, dir_fd=folder)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Keep a file, or the files of a folder, from being removed while a command reads them."""
    folder = path if path.is_dir() else path.parent
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # it cannot be read, which whoever reads it tells
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def is_being_read(root: Path, place: str) -> bool:
    """Return whether a command reads a folder in which a place lies, or one that lies in it."""
    parts = place.split("/")
    folders = [root.joinpath(*parts[:number]) for number in range(len(parts) + 1)]
    with suppress(OSError):
        folders += [entry for entry in folders[-1].iterdir() if entry.is_dir()]
    return any(map(_is_read, folders))


def _is_read(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # a file, or gone
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(descriptor)
    return False


def _parts(place: str) -> list[str]:
    parts = place.split("/")
    if len(parts) < 2 or parts[0] not in _FOLDERS or not all(map(_is_name, parts)):
        raise ValueError(f"the place {place!r} is not one of an object in the spool")
    return parts


def _is_name(part: str) -> bool:
    return part not in {"", ".", ".."} and "\0" not in part


@contextmanager
def _folder(root: Path, parts: list[str]) -> Iterator[int | None]:
    """Open a folder below the root without following any link; None if it is gone."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, part in enumerate(parts):
            try:
                inner = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor
                )
            except OSError as error:
                # The folder of a study or an analysis may be gone; that of all may not.
                if error.errno in _GONE and number:
                    yield None
                    return
                if error.errno in _PLANTED:
                    where = "/".join(parts[: number + 1])
                    raise ValueError(f"{where} in the spool is a link, not a folder") from error
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)
