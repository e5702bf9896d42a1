"""Tokens by which programs use the REST API."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.sign_in.roles import Role
from dicom_node.sign_in.sign_ins import digest_of
from dicom_node.studies.ledger.accounts.account_tables import ApiToken

_BEGINNING: Final = "mcn_"
"""By which people and secret scanners recognise one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """One token, without its secret."""

    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None


def add_token(
    session: Session, name: str, role: Role, *, expires_at: datetime | None, at: datetime
) -> str:
    """Make a token; return its secret, which is shown once and kept nowhere.

    Raises
    ------
    NodeError
        The name is empty, too long, or taken.
    """
    if not 0 < len(name) <= 64 or not name.isprintable():
        raise NodeError("a token needs a name of 1 to 64 characters")
    if session.scalars(select(ApiToken.id).where(ApiToken.name == name)).first() is not None:
        raise NodeError(f"there is a token {name} already: see 'mammoclip-node tokens list'")
    secret = _BEGINNING + secrets.token_urlsafe(32)
    session.add(
        ApiToken(
            name=name,
            role=role.value,
            secret_digest=digest_of(secret),
            created_at=at,
            expires_at=expires_at,
        )
    )
    return secret


def token_of(session: Session, secret: str, *, at: datetime) -> TokenFacts | None:
    """Return the token with this secret; None if there is none that still counts."""
    query = select(ApiToken).where(
        ApiToken.secret_digest == digest_of(secret),
        or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > at),
    )
    row = session.scalars(query).first()
    return None if row is None else _facts(row)


def tokens(session: Session) -> list[TokenFacts]:
    """List the tokens by name."""
    return [_facts(row) for row in session.scalars(select(ApiToken).order_by(ApiToken.name))]


def remove_token(session: Session, name: str) -> None:
    """Remove a token: it counts no more.

    Raises
    ------
    NodeError
        There is no such token.
    """
    row = session.scalars(select(ApiToken).where(ApiToken.name == name)).first()
    if row is None:
        raise NodeError(f"there is no token {name!r}: see 'mammoclip-node tokens list'")
    session.delete(row)


def _facts(row: ApiToken) -> TokenFacts:
    return TokenFacts(
        name=row.name,
        role=Role(row.role),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
