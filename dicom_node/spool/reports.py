"""Reports on storage commitment in the spool: safe on disk before they are answered."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.disk_trouble import disk_trouble
from dicom_node.spool.local_disk import flush_folder
from dicom_node.spool.private_files import create_private_file, make_private_folder

MOST_REPORTS: Final = 1000
"""How many may wait to be read: each archive may send as many as it likes."""

_SUFFIX: Final = ".report"


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
        self._partial = root / "partial"
        self._folder = root / "reports"

    def keep(self, report: Report) -> None:
        """Write a report; on return the file and its folder are flushed to disk.

        Raises
        ------
        OutOfResourcesError
            Too many reports wait, or the disk cannot be written.
        """
        facts = {key: value for key, value in asdict(report).items() if key != "content"}
        name = f"{time.time_ns()}-{secrets.token_hex(8)}"
        # By the name of an object that comes: the node deletes what a killed process leaves.
        partial = self._partial / f"incoming-{os.getpid()}-report-{name}"
        with disk_trouble():
            make_private_folder(self._folder)
            if sum(1 for _ in os.scandir(self._folder)) >= MOST_REPORTS:
                raise OutOfResourcesError(f"{MOST_REPORTS} reports on storage commitment wait")
            try:
                with create_private_file(partial) as stream:
                    stream.write(json.dumps(facts).encode() + b"\n" + report.content)
                    stream.flush()
                    os.fsync(stream.fileno())
                partial.rename(self._folder / f"{name}{_SUFFIX}")
            except BaseException:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
            flush_folder(self._folder)

    def waiting(self) -> Iterator[tuple[Path, Report | None]]:
        """Yield the reports that wait, the oldest first; None for a file that is none."""
        if not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob(f"*{_SUFFIX}")):
            yield file, _read(file)

    def drop(self, file: Path) -> None:
        """Delete a report that was read."""
        with disk_trouble():
            file.unlink(missing_ok=True)


def _read(file: Path) -> Report | None:
    try:
        head, _, content = file.read_bytes().partition(b"\n")
        facts = json.loads(head)
        return Report(content=content, **{**facts, "destinations": tuple(facts["destinations"])})
    except (ValueError, KeyError, TypeError):
        return None
