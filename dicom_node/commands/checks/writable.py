"""Whether this account may write where the node writes: found out before it begins."""

import os
from pathlib import Path

from dicom_node.errors import NodeError
from dicom_node.studies.ledger.database import Database


def require_writable_spool(spool: Path) -> None:
    """Raise an error unless the spool's folders can be written, or can be made.

    Raises
    ------
    NodeError
        It names the folder and says what to do.
    """
    if spool.exists():
        folders = [spool, *sorted(part for part in spool.iterdir() if part.is_dir())]
    else:
        folders = [next(parent for parent in spool.absolute().parents if parent.exists())]
    for folder in folders:
        _require_writable(folder, os.R_OK | os.W_OK | os.X_OK, "set another spool")


def require_writable_ledger(database: Database) -> None:
    """Raise an error unless the files of a ledger in SQLite can be written.

    Raises
    ------
    NodeError
        It names the file and says what to do.
    """
    for file in database.files():
        _require_writable(file, os.R_OK | os.W_OK, "set another url under [ledger]")


def _require_writable(path: Path, mode: int, otherwise: str) -> None:
    if not os.access(path, mode):
        raise NodeError(f"{path} cannot be written by this user: change its owner, or {otherwise}")
