"""What the commands say of objects that were received and are not in the ledger yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicom_node.commands.local_times import local_time
from dicom_node.errors import UnknownStudyError
from dicom_node.spool.names import incoming_receipts


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingObjects:
    """Objects that senders were told are safe, and that the registrar has not read yet.

    Attributes
    ----------
    oldest_received_at : ISO 8601 with zone; empty if nothing waits
    """

    objects: int
    oldest_received_at: str

    def in_words(self) -> str:
        """Return one sentence, or nothing if nothing waits."""
        if not self.objects:
            return ""
        counted = (
            "1 received object is"
            if self.objects == 1
            else (f"{self.objects} received objects are")
        )
        return (
            f"{counted} not registered yet, the oldest from "
            f"{local_time(self.oldest_received_at)}: "
            "'mammoclip-node serve' registers them."
        )


def waiting_objects(spool: Path) -> WaitingObjects:
    """Count what waits in the spool's folder ``incoming``; reads names only, and makes nothing.

    To be asked before the ledger: what is registered in between then counts twice, and not never.
    """
    receipts = incoming_receipts(spool)
    oldest = receipts[0].received_at.isoformat(timespec="seconds") if receipts else ""
    return WaitingObjects(objects=len(receipts), oldest_received_at=oldest)


@contextmanager
def mentioning_waiting_objects(spool: Path) -> Iterator[None]:
    """Say of a study that the ledger does not know how many objects are still to be registered."""
    try:
        yield
    except UnknownStudyError as error:
        waiting = waiting_objects(spool).in_words()
        raise UnknownStudyError(f"{error}. {waiting}" if waiting else str(error)) from error
