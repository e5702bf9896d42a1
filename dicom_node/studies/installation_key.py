"""The secret key of an installation, which all nodes before one ledger must have.

It digests patients, so that nodes with different keys would take one patient for two. The ledger
knows a digest of it and never the key itself: whoever reads a back-up of the ledger alone cannot
search its digests for a patient.
"""

import hashlib
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.spool.identity_key import (
    IdentityKeyError,
    identity_key,
    identity_key_in,
    serial_number_of,
)
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.spools import names_if_several
from dicom_node.studies.ledger.tables import LedgerIdentity

log = structlog.get_logger("dicom_node.installation_key")


class OtherKeyError(IdentityKeyError):
    """The key of this spool is not that of the other nodes before the same ledger."""

    reason = "other-key"


def installation_key(spool: Spool, database: Database) -> bytes:
    """Return the key of a node's spool, which the ledger has from now on.

    A single node may get a new key; of several each needs that which the first one made.

    Raises
    ------
    OtherKeyError
        The spool has no key or another than the other nodes.
    IdentityKeyError
        The file does not hold a key.
    """
    with database.reading() as session:
        if _is_known(session, spool.root):
            return identity_key(spool)
    # Made outside of the transaction, which only compares: a full disk holds up nobody else.
    key, serial_number = identity_key(spool), serial_number_of(spool)
    with database.writing() as session:
        row = session.scalars(select(LedgerIdentity).with_for_update()).first()
        if row is None:  # an incomplete copy, which the node refuses to begin with
            return key
        if row.key_digest and row.key_digest != _digest(key):
            _require_alone(session, spool.root)
            log.warning(
                "key_changed",
                detail="images of another patient in a study that was received before are not "
                "detected any more",
            )
        row.key_digest, row.serial_number = _digest(key), serial_number
    return key


def require_installation_key(root: Path, database: Database) -> None:
    """Compare the key in a spool's folder with that of the ledger; makes and changes nothing.

    Raises
    ------
    OtherKeyError
        The spool has no key or another than the other nodes.
    """
    with database.reading() as session:
        _is_known(session, root)


def serial_number(database: Database) -> str:
    """Return the 16 digits that name the installation in results; empty if none is known yet.

    From the ledger, so that a worker on another host needs no key.
    """
    with database.reading() as session:
        return session.scalars(select(LedgerIdentity.serial_number)).first() or ""


def _is_known(session: Session, root: Path) -> bool:
    """Return whether the ledger has the key of a spool; no other may be made beside others."""
    known = session.scalars(select(LedgerIdentity.key_digest)).first()
    if not known:
        return False
    key = identity_key_in(root)
    if key is not None and _digest(key) == known:
        return True
    _require_alone(session, root)
    return False


def _require_alone(session: Session, root: Path) -> None:
    names = names_if_several(session)
    if names:
        is_missing = identity_key_in(root) is None
        raise OtherKeyError(
            f"identity.key in {root} {'is missing, and must be' if is_missing else 'is not'} that "
            "of the nodes that share its ledger. Copy it from one of them, or from a back-up "
            f"({', '.join(names.values())}); what comes meanwhile is kept"
        )


def _digest(key: bytes) -> str:
    # Of 256 random bits: nobody finds the key from it, and it is no digest that anything else uses.
    return hashlib.sha256(b"key of the installation" + key).hexdigest()
