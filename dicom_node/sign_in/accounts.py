"""The accounts of people: made, changed and removed by an administrator."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.sign_in.passwords import hash_of
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.accounts.account_tables import (
    Account,
    ProviderIdentity,
    SignedIn,
)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """One account.

    Attributes
    ----------
    issuer : the provider of identities that vouches for the person; None: a password does
    """

    name: str
    role: Role
    created_at: datetime
    issuer: str | None = None


def add_account(session: Session, name: str, role: Role, password: str, *, at: datetime) -> None:
    """Make an account.

    Raises
    ------
    NodeError
        The name is none, or taken.
    WeakPasswordError
    """
    if not _NAME.fullmatch(name):
        raise NodeError(
            f"{name!r} is no name of an account: use 1 to 64 letters, digits and _ . @ -"
        )
    if _found(session, name) is not None:
        raise NodeError(f"there is an account {name} already: see 'mammoclip-node users list'")
    hashed = hash_of(password, name=name)
    session.add(
        Account(name=name, role=role.value, password_hash=hashed, created_at=at, changed_at=at)
    )


def set_password(session: Session, name: str, password: str, *, at: datetime) -> None:
    """Give an account another password, and end its sign-ins.

    Raises
    ------
    NodeError
        There is no such account, or it has no password.
    WeakPasswordError
    """
    row = _required(session, name)
    _require_own(session, row)
    row.password_hash, row.changed_at = hash_of(password, name=name), at
    session.execute(delete(SignedIn).where(SignedIn.account_id == row.id))


def set_role(session: Session, name: str, role: Role, *, at: datetime) -> None:
    """Give an account another role, which counts from its next request on.

    Raises
    ------
    NodeError
        There is no such account, or its role comes from the provider of identities.
    """
    row = _required(session, name)
    _require_own(session, row)
    row.role, row.changed_at = role.value, at


def remove_account(session: Session, name: str) -> None:
    """Remove an account, and end its sign-ins.

    Raises
    ------
    NodeError
        There is no such account.
    """
    row = _required(session, name)
    for table in (SignedIn, ProviderIdentity):
        session.execute(delete(table).where(table.account_id == row.id))
    session.delete(row)


def accounts(session: Session) -> list[AccountFacts]:
    """List the accounts by name."""
    return [
        AccountFacts(name=row.name, role=Role(row.role), created_at=row.created_at, issuer=issuer)
        for row, issuer in session.execute(
            select(Account, ProviderIdentity.issuer)
            .outerjoin(ProviderIdentity, ProviderIdentity.account_id == Account.id)
            .order_by(Account.name)
        )
    ]


def _require_own(session: Session, account: Account) -> None:
    query = select(ProviderIdentity.issuer).where(ProviderIdentity.account_id == account.id)
    issuer = session.scalar(query)
    if issuer is not None:
        raise NodeError(
            f"{account.name} signs in by {issuer}: password and role are changed there "
            "(viewers, operators and admins under [console.oidc] name its groups)"
        )


def _found(session: Session, name: str) -> Account | None:
    return session.scalars(select(Account).where(Account.name == name)).first()


def _required(session: Session, name: str) -> Account:
    row = _found(session, name)
    if row is None:
        raise NodeError(f"there is no account {name!r}: see 'mammoclip-node users list'")
    return row
