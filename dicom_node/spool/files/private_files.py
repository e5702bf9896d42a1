"""Files and folders that only the account of the node may read, whatever its umask."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from dicom_node.spool.files.flushing import flush_folder

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_OTHERS: Final = 0o077
_UMASK: Final = 0o077


def keep_new_files_private() -> None:
    """Set the umask of this process, for files that libraries create."""
    os.umask(_UMASK)


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may enter, if it does not exist yet."""
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def make_lasting_folders(root: Path, folders: Iterable[Path]) -> None:
    """Create a folder and folders in it, unless they exist; a power cut later takes none of them.

    Parameters
    ----------
    folders : directly in the root
    """
    folders = tuple(folders)
    wanted = (root, *folders)
    made = [folder for folder in (*root.parents, *wanted) if not folder.is_dir()]
    root.parent.mkdir(parents=True, exist_ok=True)
    for folder in wanted:
        make_private_folder(folder)
    # Those in the root may have been made by a process that was killed before it flushed them.
    for parent in dict.fromkeys(folder.parent for folder in (*made, *folders)):
        flush_folder(parent)


def create_private_file(file: Path) -> BinaryIO:
    """Create a file that only its owner may read, and open it for writing.

    Raises
    ------
    FileExistsError
        The file exists already.
    """
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")


def ensure_private_file(file: Path) -> None:
    """Create an empty file that only its owner may read, if it does not exist yet.

    One that exists is not opened: to close it again would take from this process every lock that
    its connections to an SQLite file hold, and another process would delete the log of that file.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))


def is_open_to_others(path: Path) -> bool:
    """Return whether the group or other users have any permission on a file or folder."""
    return bool(path.stat().st_mode & _OTHERS)


def tighten(folder: Path) -> Iterator[Path]:
    """Take the permissions of everybody else from a folder and everything in it.

    The folder itself comes last: where an earlier call was interrupted, it is still open and
    everything in it is looked at again. A folder that is closed already costs one look.

    Yields
    ------
    Path
        Each file or folder whose permissions could not be changed, since it has another owner.
    """
    if folder.is_symlink() or not is_open_to_others(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                continue
            if entry.is_dir():
                yield from tighten(Path(entry.path))
            elif entry.is_file() and not close_to_others(Path(entry.path)):
                yield Path(entry.path)
    if not close_to_others(folder):
        yield folder


def close_to_others(path: Path) -> bool:
    """Take the permissions of everybody else from one path; return whether that worked."""
    mode = path.stat().st_mode & 0o7777
    if not mode & _OTHERS:
        return True
    try:
        path.chmod(mode & ~_OTHERS)
    except OSError:
        return False
    return True


def of_other_accounts(paths: Iterable[Path], accounts: frozenset[int]) -> list[Path]:
    """Return the paths whose owner has none of some user IDs."""
    return [path for path in paths if path.stat().st_uid not in accounts]
