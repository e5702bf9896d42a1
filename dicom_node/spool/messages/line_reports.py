"""Reports on storage commitment for senders that wait on the association of their request.

The process that has the association sees no ledger, and the node that has the ledger no
association: they meet in a folder. A file names the association, the presentation context of the
request, and the report:

- ``TOKEN.CONTEXT.waits``: the association is open, and its peer has asked;
- ``TOKEN.CONTEXT-ID.report``: what the node has to say to it;
- ``TOKEN.CONTEXT-ID.told``: its peer has taken the report.

Nothing rests on these files, and none is flushed: a report that nobody takes, or of which a power
cut leaves nothing, is sent over another association.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from dicom_node.spool.files.private_files import create_private_file, make_private_folder

_FOLDER: Final = "line-reports"
_REPORT: Final = re.compile(r"[0-9a-f]+\.[0-9]+-([0-9]+)\.report")


class LineReports:
    """The folder ``line-reports`` of a spool.

    A line is an association and one of its presentation contexts, ``TOKEN.CONTEXT``.

    Parameters
    ----------
    root : folder of the spool, which exists
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / _FOLDER

    def wait(self, line: str) -> None:
        """Say that the peer of an association has asked, and may be told over it."""
        make_private_folder(self._folder)
        with suppress(FileExistsError), create_private_file(self._folder / f"{line}.waits"):
            pass

    def leave(self, line: str) -> None:
        """Say that an association has ended."""
        (self._folder / f"{line}.waits").unlink(missing_ok=True)

    def is_waiting(self, line: str) -> bool:
        """Return whether the peer of an association may be told over it."""
        return (self._folder / f"{line}.waits").exists()

    def offer(self, line: str, report_id: int, event_type: int, content: bytes) -> None:
        """Give a report to whoever has the association.

        Parameters
        ----------
        content : the data set, in the transfer syntax of the request
        """
        partial = self._folder / f"{line}-{report_id}.partial"
        partial.unlink(missing_ok=True)
        with create_private_file(partial) as stream:
            stream.write(bytes([event_type]) + content)
        partial.rename(self._file(line, report_id))

    def offered(self, line: str) -> tuple[int, int, bytes] | None:
        """Return a report for the peer of an association; None if there is none.

        It is given once: its number, its Event Type ID and its data set.
        """
        for file in sorted(self._folder.glob(f"{line}-*.report")):
            match = _REPORT.fullmatch(file.name)
            if match is None:
                continue
            with suppress(FileNotFoundError):  # withdrawn
                content = file.read_bytes()
                file.unlink()
                return int(match[1]), content[0], content[1:]
        return None

    def told(self, line: str, report_id: int) -> None:
        """Say that the peer has taken a report."""
        with suppress(FileExistsError):
            create_private_file(self._folder / f"{line}-{report_id}.told").close()

    def was_told(self, line: str, report_id: int) -> bool:
        """Return whether the peer has taken a report; that is told once."""
        try:
            (self._folder / f"{line}-{report_id}.told").unlink()
        except FileNotFoundError:
            return False
        return True

    def withdraw(self, line: str, report_id: int) -> None:
        """Take a report back that nobody has taken."""
        self._file(line, report_id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget what processes that were killed have left; for a node that starts."""
        with suppress(FileNotFoundError):
            for file in self._folder.iterdir():
                file.unlink(missing_ok=True)

    def _file(self, line: str, report_id: int) -> Path:
        return self._folder / f"{line}-{report_id}.report"
