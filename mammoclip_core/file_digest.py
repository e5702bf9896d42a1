"""The SHA-256 of a file, by which weights and fetched files are known."""

import errno
import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.

    Raises
    ------
    OSError
        It cannot be read, or is none: a device or a pipe may never end.
    """
    with regular_file(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def regular_file(path: Path) -> Path:
    """Return a path, unless it is that of a device, a pipe or a folder.

    Raises
    ------
    OSError
        Its reading may never end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file", str(path))
    return path
