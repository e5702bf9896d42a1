"""The number under which a node's spool is known in its ledger."""

import socket
from pathlib import Path

from dicom_node.spool.local_disk import Spool
from dicom_node.spool.spool_identity import spool_identity
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.spools import enter_spool, spool_of


def own_spool(spool: Spool, database: Database) -> int:
    """Return the number of a node's spool, which the ledger knows from now on.

    Raises
    ------
    OutOfResourcesError
        The spool cannot be read or written.
    """
    identity = spool_identity(spool)
    with database.reading() as session:
        known = spool_of(session, identity)
    if known is not None:
        return known

    def is_there(place: str) -> bool:
        return (spool.root / place).is_file()

    with database.writing() as session:
        return enter_spool(session, identity, name=spool_name(spool.root), is_there=is_there)


def spool_name(root: Path) -> str:
    """Return host and folder of a spool, by which people know it."""
    return f"{socket.gethostname()}:{root.absolute()}"[:255]
