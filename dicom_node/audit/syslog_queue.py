"""Audit messages that wait for their collector, on disk: none is lost while it is down."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog

from dicom_node.audit.acts import Act, Deed, Outcome
from dicom_node.errors import OutOfResourcesError
from dicom_node.spool.messages.kept_messages import KeptMessages

log = structlog.get_logger("dicom_node.audit")

MOST: Final = 100_000
"""Messages that may wait; months of a collector that is down."""


class SyslogQueue:
    """The folder ``audit-queue`` of a spool.

    Parameters
    ----------
    root : folder of the spool, which exists
    """

    def __init__(self, root: Path) -> None:
        self._messages = KeptMessages(root, "audit-queue", most=MOST, what="audit messages")

    def keep(self, deed: Deed) -> None:
        """Write a message; where it cannot be, the log says so, and nothing is held up.

        The audit file has the deed in any case.
        """
        try:
            self._messages.keep(deed.as_entry(), b"")
        except OutOfResourcesError as error:
            log.error("audit_message_lost", reason=str(error))  # noqa: TRY400  expected

    def waiting(self) -> Iterator[tuple[Path, Deed]]:
        """Yield the messages that wait, the oldest first; what is none is dropped."""
        for one in self._messages.waiting():
            deed = _deed_of(one.head)
            if deed is None:
                self.drop(one.file)
            else:
                yield one.file, deed

    def drop(self, file: Path) -> None:
        """Delete a message that the collector has."""
        with suppress(OutOfResourcesError):
            self._messages.drop(file)


def _deed_of(head: dict[str, Any]) -> Deed | None:
    try:
        return Deed(
            at=datetime.fromisoformat(head["at"]),
            who=str(head["who"]),
            via=str(head["via"]),
            act=Act(head["act"]),
            outcome=Outcome(head["outcome"]),
            studies=tuple(map(str, head["studies"])),
            detail=str(head["detail"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
