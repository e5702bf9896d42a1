"""Opens the ledger for a command that does something, and enters who does what in the audit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_node.commands.account import account
from dicom_node.commands.terminal import ledger_of

if TYPE_CHECKING:
    from dicom_node.audit.acts import Act
    from dicom_node.audit_trail import Account
    from dicom_node.settings.settings import Settings
    from dicom_node.studies.ledger.database import Database


@contextmanager
def acting(
    config: Path | None, act: "Act", *, studies: Sequence[str] = (), detail: str = ""
) -> Iterator[tuple["Settings", "Database", "Account"]]:
    """Open the ledger for an act of whoever runs the command.

    Parameters
    ----------
    studies : Study Instance UIDs that are named
    detail : what is wanted, in words; no name or ID of a patient

    Yields
    ------
    Settings, Database, Account
        The last to say what was done, and to which studies.

    Raises
    ------
    AuditError
        The audit file cannot be written; nothing was done.
    """
    from dicom_node.audit_trail import audited

    with (
        ledger_of(config) as (settings, database),
        audited(
            settings, database, act, who=account(), via="command", studies=studies, detail=detail
        ) as said,
    ):
        yield settings, database, said
