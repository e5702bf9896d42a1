"""The secret of an installation, without which its digests of patients cannot be searched."""

import os
import secrets
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError
from dicom_node.spool.local_disk import Spool, flush_folder

_BYTES: Final = 32
_NAME: Final = "identity.key"


class IdentityKeyError(NodeError):
    """The file of the key holds something else."""

    reason = "identity-key"


def identity_key(spool: Spool) -> bytes:
    """Return the key of a spool, which is made at its first use and readable by its owner alone.

    Of processes that make it at once one wins, and all return the winner's.

    Raises
    ------
    IdentityKeyError
        The file does not hold a key.
    """
    file = spool.root / _NAME
    if not file.exists():
        _make(file, spool.root / "partial")
    key = file.read_bytes()
    if len(key) != _BYTES:
        raise IdentityKeyError(
            f"{file} holds {len(key)} bytes instead of {_BYTES}: put it back from a backup, or "
            "delete it and a new one is made, which no longer tells patients of open studies apart"
        )
    return key


def _make(file: Path, folder: Path) -> None:
    """Make the key whole and flushed under another name, then link it to its own if it is free."""
    # The name is one of those that the node clears away after a crash.
    partial = folder / f"incoming-key-{secrets.token_hex(16)}"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            file.hardlink_to(partial)
        except FileExistsError:
            return
        flush_folder(file.parent)
    finally:
        partial.unlink(missing_ok=True)
