"""What tells a spool from every other: random digits in a file of its own, which moves with it."""

import re
import secrets
from pathlib import Path
from typing import Final

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.written_once import write_once
from dicom_node.spool.local_disk import Spool

_NAME: Final = "spool.id"
_PATTERN: Final = re.compile("[0-9a-f]{32}", re.ASCII)


def spool_identity(spool: Spool) -> str:
    """Return the identity of a node's spool, made at its first use: 32 hexadecimal digits.

    Raises
    ------
    OutOfResourcesError
        The file holds something else, as after a disk was full or broken.
    """
    with disk_trouble():
        file = write_once(spool, _NAME, secrets.token_hex(16).encode())
    identity = identity_of_folder(spool.root)
    if not identity:
        raise OutOfResourcesError(
            f"{file} does not hold 32 hexadecimal digits: restore it from a back-up, or delete it "
            "and start the node again, which recognises the spool by its files"
        )
    return identity


def identity_of_folder(root: Path) -> str:
    """Return the identity of the spool in a folder; empty if there is none, or it is away."""
    try:
        identity = (root / _NAME).read_text("ascii", errors="replace").strip()
    except OSError:
        return ""
    return identity if _PATTERN.fullmatch(identity) else ""
