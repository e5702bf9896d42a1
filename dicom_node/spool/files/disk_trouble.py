"""Errors of the spool's disk: which of them are not the fault of the study in hand."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dicom_node.errors import OutOfResourcesError, chain_of

_DISK_TROUBLE: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.EMLINK,
        errno.EFBIG,
        # A folder that is closed to this process, or made immutable.
        errno.EACCES,
        errno.EPERM,
        # A network file system that is away, and a process that has too many files open.
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENODEV,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    }
)
"""Errors of a disk that is full, over its quota, closed, read-only, away or broken."""


@contextmanager
def disk_trouble() -> Iterator[None]:
    """Raise OutOfResourcesError for a full or broken disk, which is not the study's fault."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_TROUBLE:
            raise
        raise out_of_resources(error) from error


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error came of a disk that is full, or over its quota; SQLite's own too."""
    return any(
        (isinstance(one, OSError) and one.errno in {errno.ENOSPC, errno.EDQUOT})
        or (isinstance(one, sqlite3.Error) and one.sqlite_errorcode == sqlite3.SQLITE_FULL)
        for one in chain_of(error)
    )


def out_of_resources(error: OSError) -> OutOfResourcesError:
    """Return the error that an error of the disk is told as."""
    return OutOfResourcesError(f"the spool cannot be used: {error.strerror}")
