"""Gives receipts of one spool in the order in which its objects come, whatever the clock does."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.files.private_files import FILE_MODE
from dicom_node.spool.names import Receipt, incoming_receipts

_DIGITS: Final = 19


class ReceiptClock:
    """The clock by which all processes that bring objects into a spool make receipts.

    It never goes back: if the host's clock is set back between an image and its correction, the
    correction still has the later receipt, and is registered after the image. The latest time that
    was given is kept in the file ``receipt.clock`` of the spool.

    Parameters
    ----------
    root : folder of the spool, which exists
    host : nanoseconds since 1970, UTC; by default of this host's clock
    """

    def __init__(self, root: Path, *, host: Callable[[], int] | None = None) -> None:
        self._root = root
        self._host = host or _host
        self._at_least: int | None = None

    def new(self, association: str) -> Receipt:
        """Make the receipt of an object that is arriving now.

        Raises
        ------
        OutOfResourcesError
            The disk cannot be written, or is away.
        """
        try:
            return self._new(association)
        except OSError as error:
            raise OutOfResourcesError(
                f"the spool gives no receipts: {error.strerror or type(error).__name__}"
            ) from error

    def _new(self, association: str) -> Receipt:
        # Opened each time: a lock tells apart neither the threads of a process nor its children
        # if they share the open file.
        file = os.open(self._root / "receipt.clock", os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            at = max(self._host(), _latest(file) + 1, self._newest_that_waits() + 1)
            os.pwrite(file, f"{at:0{_DIGITS}d}".encode(), 0)
        finally:
            os.close(file)
        return Receipt(at, association, secrets.token_hex(4))

    def _newest_that_waits(self) -> int:
        # Once in each process: a power cut may have lost what was written to the file.
        if self._at_least is None:
            waiting = incoming_receipts(self._root)
            self._at_least = waiting[-1].received_ns if waiting else 0
        return self._at_least


def _host() -> int:
    return time.time_ns()


def _latest(file: int) -> int:
    content = os.pread(file, _DIGITS, 0)
    return int(content) if len(content) == _DIGITS and content.isdigit() else 0
