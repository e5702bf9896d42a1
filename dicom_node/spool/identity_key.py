"""The secret key of an installation, needed to search its digests of patients."""

import hashlib
import secrets
from pathlib import Path
from typing import Final

from dicom_node.errors import NodeError
from dicom_node.spool.files.written_once import write_once
from dicom_node.spool.local_disk import Spool

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
    write_once(spool, _NAME, secrets.token_bytes(_BYTES))
    key = identity_key_in(spool.root)
    assert key is not None, "it was written or was there"
    return key


def identity_key_in(root: Path) -> bytes | None:
    """Return the key in the folder of a spool; None if it has none yet.

    Raises
    ------
    IdentityKeyError
        The file does not hold a key.
    """
    file = root / _NAME
    try:
        key = file.read_bytes()
    except FileNotFoundError:
        return None
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
