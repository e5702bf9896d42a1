"""Folders and lasting files of a spool that no power cut takes, whoever made them."""

import errno
from pathlib import Path
from typing import Final

from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import make_private_folder

_MOST_KNOWN: Final = 10_000


class LastingFolders:
    """Makes folders, and knows which it has flushed.

    One that is there may have been made by a process that was killed, or stands still, before it
    flushed the name: whoever writes into it first flushes it again.

    Parameters
    ----------
    root : whose own folders are there: below a mount that is gone nothing is made in their place
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: set[Path] = set()

    def make(self, folder: Path) -> None:
        """Make a folder with those above it, unless they exist; on return they are flushed.

        Raises
        ------
        OSError
            The disk does not take it, or is away.
        """
        if folder.parent == self._root:
            if not folder.is_dir():
                raise OSError(errno.ESTALE, "the folder of the spool is away")
            return
        if folder in self._known and folder.is_dir():
            return
        self.make(folder.parent)
        make_private_folder(folder)
        self._flush(folder)

    def confirm(self, path: Path, *, is_new: bool = False) -> None:
        """Flush the name of something that is there, unless it is known to be.

        Parameters
        ----------
        is_new : whether the name was given right now, so that what was known of it is over
        """
        if is_new or path not in self._known:
            self._flush(path)

    def _flush(self, path: Path) -> None:
        flush_folder(path.parent)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(path)
