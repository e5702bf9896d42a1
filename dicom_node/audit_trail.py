"""Enters what people and the node do: in the audit file before it is done, and after.

Commands and console call the same function, so nothing is done by one that the other would hide.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicom_node.audit.acts import Act, Deed, Outcome
from dicom_node.audit.audit_file import AuditFile, Head
from dicom_node.audit.chained_lines import Fault, parsed
from dicom_node.audit.syslog_queue import SyslogQueue
from dicom_node.audit.verifying import audit_faults
from dicom_node.errors import NodeError
from dicom_node.settings.settings import Settings
from dicom_node.spool.spool_identity import identity_of_folder
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.monitoring.anchors import anchors, note_anchor


@dataclass(slots=True)
class Account:
    """What is to be said of an act once it is done.

    Attributes
    ----------
    studies : Study Instance UIDs that it turned out to be about
    detail : what was done, in words
    """

    studies: list[str] = field(default_factory=list)
    detail: str = ""


@contextmanager
def audited(
    settings: Settings,
    database: Database,
    act: Act,
    *,
    who: str,
    via: str,
    studies: Sequence[str] = (),
    detail: str = "",
) -> Iterator[Account]:
    """Enter that somebody does something, and how it ended.

    Parameters
    ----------
    who : account that does it
    via : ``command``, ``console`` or ``node``
    studies : Study Instance UIDs that are named
    detail : what is wanted, in words, without a name or ID of a patient

    Yields
    ------
    Account
        Where to say what was done.

    Raises
    ------
    AuditError
        The audit file cannot be written; nothing was done.
    """
    deed = Deed(
        at=datetime.now(UTC),
        who=who,
        via=via,
        act=act,
        outcome=Outcome.BEGUN,
        studies=tuple(studies),
        detail=detail,
    )
    enter(settings, database, deed)
    account = Account()
    try:
        yield account
    except BaseException as error:
        # An expected error is in words, which name no patient; of others the kind is told.
        why = str(error) if isinstance(error, NodeError) else type(error).__name__
        ended = replace(deed, at=datetime.now(UTC), outcome=Outcome.REFUSED, detail=why)
        enter(settings, database, ended)
        raise
    enter(
        settings,
        database,
        replace(
            deed,
            at=datetime.now(UTC),
            outcome=Outcome.DONE,
            studies=tuple(dict.fromkeys((*studies, *account.studies))),
            detail=account.detail or detail,
        ),
    )


def enter(settings: Settings, database: Database, deed: Deed) -> Head:
    """Enter one deed: in the file, in the queue to the collector, and its digest in the ledger.

    Raises
    ------
    AuditError
        The audit file cannot be written.
    """
    head = AuditFile(settings.spool).append(deed.as_entry())
    if settings.audit.syslog_host is not None:
        SyslogQueue(settings.spool).keep(deed)
    # A ledger that does not answer, or has another release's tables, stops no act that does
    # without it: the digest of the next line speaks for this one too.
    with suppress(DATABASE_TROUBLE), database.writing() as session:
        name = spool_name(settings.spool)
        note_anchor(session, name, number=head.number, digest=head.digest, at=deed.at)
    return head


def verified(
    settings: Settings, database: Database, *, also: Sequence[Head] = ()
) -> tuple[int, list[Fault]]:
    """Return how many lines the audit file has, and everything that is wrong with them.

    Parameters
    ----------
    also : lines that are remembered elsewhere than in the ledger
    """
    with database.reading() as session:
        known = anchors(session, spool_name(settings.spool))
    return audit_faults(AuditFile(settings.spool).lines(), [*known, *also])


def audit_head(settings: Settings) -> Head:
    """Return the last line of the audit file, which receipts name."""
    return AuditFile(settings.spool).head()


def spool_name(root: Path) -> str:
    """Return by what the ledger knows the audit file of a spool."""
    return identity_of_folder(root)


def deeds_of(settings: Settings, study_instance_uid: str | None = None) -> Iterable[dict[str, Any]]:
    """Yield the entries of the audit file, of one study if it is named, the oldest first."""
    for line in AuditFile(settings.spool).lines():
        found = parsed(line.removesuffix(b"\n"))
        if found is None:
            continue
        entry = found[1]
        if study_instance_uid is None or study_instance_uid in entry.get("studies", ()):
            yield entry
