"""Reports on storage commitment in the spool: safe on disk before they are answered."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from dicom_node.spool.messages.kept_messages import KeptMessages

MOST_REPORTS: Final = 1000
"""How many may wait to be read: each archive may send as many as it likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One N-EVENT-REPORT request as it came (PS3.4 J.3.3).

    Attributes
    ----------
    destinations : names of the destinations for which its sender may report
    content : the data set, in its transfer syntax
    """

    destinations: tuple[str, ...]
    calling_ae_title: str
    address: str
    transfer_syntax: str
    content: bytes


class Reports:
    """The folder ``reports`` of a spool.

    Parameters
    ----------
    root : folder of the spool, which exists
    """

    def __init__(self, root: Path) -> None:
        self._messages = KeptMessages(
            root, "reports", most=MOST_REPORTS, what="reports on storage commitment"
        )

    def keep(self, report: Report) -> None:
        """Write a report; on return it is flushed to disk.

        Raises
        ------
        OutOfResourcesError
            Too many reports wait, or the disk cannot be written.
        """
        head = asdict(report)
        self._messages.keep(head, head.pop("content"))

    def waiting(self) -> Iterator[tuple[Path, Report | None]]:
        """Yield the reports that wait, the oldest first; None for a file that is none."""
        for one in self._messages.waiting():
            try:
                names = tuple(one.head["destinations"])
                report = Report(content=one.content, **{**one.head, "destinations": names})
            except (KeyError, TypeError):
                report = None
            yield one.file, report

    def drop(self, file: Path) -> None:
        """Delete a report that was read."""
        self._messages.drop(file)
