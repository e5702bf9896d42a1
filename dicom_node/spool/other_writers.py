"""What must hold for a process beside the node that puts objects into its spool."""

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError
from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.private_files import create_private_file

_ABANDONED_SECONDS: Final = 3600.0
"""Time without a byte after which whoever was writing a file is taken to be gone."""


class ForeignAccountError(NodeError):
    """What this process writes into the spool has another owner than the files of the node."""

    reason = "foreign-account"


def require_account_of_the_node(root: Path) -> None:
    """Write a file into a spool, and see that it has the same owner as those of the node.

    Raises
    ------
    OutOfResourcesError
        The disk is full, read-only or broken, or the folders are closed to this process.
    ForeignAccountError
        The registrar would set aside whatever this process writes.
    """
    with disk_trouble():
        owner = (root / "incoming").stat().st_uid
        trial = root / "partial" / f"trial-{secrets.token_hex(16)}"
        try:
            with create_private_file(trial) as stream:
                own = os.fstat(stream.fileno()).st_uid
        finally:
            with suppress(OSError):
                trial.unlink(missing_ok=True)
    if own != owner:
        raise ForeignAccountError(
            f"{root} belongs to the account with user ID {owner}, and this process writes as "
            f"{own}: run the command as the account of the node, for example with "
            f"'sudo -u \\#{owner}'"
        )


def clear_abandoned(root: Path, purpose: str) -> None:
    """Delete what processes that were killed have half written, an hour after their last byte.

    By its age alone: a process of another container cannot be looked at.
    """
    for leftover in (root / "partial").glob(f"{purpose}-*"):
        with suppress(OSError):
            if time.time() - leftover.lstat().st_mtime > _ABANDONED_SECONDS:
                leftover.unlink()
