"""The secret key of an installation, needed to search its digests of patients."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError
from dicom_node.spool.local_disk import Spool, flush_folder
from dicom_node.spool.private_files import create_private_file

_BYTES: Final = 32
_NAME: Final = "identity.key"


class IdentityKeyError(NodeError):
    """The key file does not hold a key."""

    reason = "identity-key"


def identity_key(spool: Spool) -> bytes:
    """Return the key of a spool, created at its first use and readable only by its owner.

    If several processes create it at the same time, all return the same key.

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
            f"{file} holds {len(key)} bytes instead of {_BYTES}: restore it from a backup. Or "
            "delete it to get a new key; images of another patient in a study that was received "
            "before are then not detected"
        )
    return key


def serial_number_of(spool: Spool) -> str:
    """Return 16 digits that name the installation in its results and tell nothing of its key.

    Raises
    ------
    IdentityKeyError
        The file does not hold a key.
    """
    return hashlib.sha256(b"device serial number" + identity_key(spool)).hexdigest()[:16]


def _make(file: Path, folder: Path) -> None:
    """Write and flush the key under another name, then link it to its own unless that exists."""
    # The name is one of those that the node clears away after a crash.
    partial = folder / f"incoming-key-{secrets.token_hex(16)}"
    try:
        with create_private_file(partial) as stream:
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
