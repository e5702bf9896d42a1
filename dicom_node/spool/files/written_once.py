"""A file of the spool that is made at its first use and then stays as it is."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from dicom_node.spool.files.private_files import create_private_file
from dicom_node.spool.local_disk import Spool


def write_once(spool: Spool, name: str, content: bytes) -> Path:
    """Return a file in the spool's root, written and flushed unless it exists.

    If several processes make it at the same time, one of them wins.
    """
    file = spool.root / name
    if file.exists():
        spool.lasting.confirm(file)
        return file
    # The name is one of those that the node clears away after a crash.
    partial = spool.root / "partial" / f"incoming-once-{secrets.token_hex(16)}"
    try:
        with create_private_file(partial) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            file.hardlink_to(partial)
        spool.lasting.confirm(file, is_new=True)
    finally:
        partial.unlink(missing_ok=True)
    return file
