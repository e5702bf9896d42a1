"""Requests for storage commitment in the spool: safe on disk before they are answered."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from dicom_node.spool.messages.kept_messages import KeptMessages

MOST_WAITING: Final = 200
"""Requests that may wait at once, of one megabyte at most each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRequest:
    """One N-ACTION request as it came (PS3.4 J.3.2).

    Attributes
    ----------
    content : the data set, in its transfer syntax
    association : over which it came; empty unless the sender is told over the same one
    """

    calling_ae_title: str
    called_ae_title: str
    transfer_syntax: str
    content: bytes
    association: str = ""


class SenderRequests:
    """The folder ``commitment`` of a spool.

    Parameters
    ----------
    root : folder of the spool, which exists
    """

    def __init__(self, root: Path) -> None:
        self._messages = KeptMessages(
            root, "commitment", most=MOST_WAITING, what="requests for storage commitment"
        )

    def keep(self, request: SenderRequest) -> None:
        """Write a request; on return it is flushed to disk.

        Raises
        ------
        OutOfResourcesError
            Too many requests wait, or the disk cannot be written.
        """
        head = asdict(request)
        self._messages.keep(head, head.pop("content"))

    def files(self) -> frozenset[Path]:
        """Return the files of the requests that wait."""
        return self._messages.files()

    def waiting(self) -> Iterator[tuple[Path, datetime, SenderRequest | None]]:
        """Yield what waits, the oldest first, with when it came; None for a file that is none."""
        for one in self._messages.waiting():
            try:
                request = SenderRequest(content=one.content, **one.head)
            except TypeError:
                request = None
            yield one.file, one.came_at, request

    def drop(self, file: Path) -> None:
        """Delete a request that is in the ledger."""
        self._messages.drop(file)
