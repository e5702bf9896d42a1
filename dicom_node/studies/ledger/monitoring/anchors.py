"""How far the audit file of each spool has come: by this a missing end of it is noticed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.monitoring.tables import AuditAnchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """One line of an audit file as the ledger remembers it.

    Attributes
    ----------
    number : of the line, from 1 on
    digest : 64 hexadecimal digits
    """

    number: int
    digest: str
    at: datetime


def note_anchor(session: Session, spool: str, *, number: int, digest: str, at: datetime) -> None:
    """Remember a line of an audit file.

    Parameters
    ----------
    spool : identity of the spool
    """
    session.add(AuditAnchor(spool=spool, number=number, digest=digest, at=at))


def anchors(session: Session, spool: str) -> list[Anchor]:
    """Return what is remembered of a spool's audit file, the first line first."""
    query = select(AuditAnchor).where(AuditAnchor.spool == spool).order_by(AuditAnchor.id)
    return [
        Anchor(number=row.number, digest=row.digest, at=row.at) for row in session.scalars(query)
    ]
