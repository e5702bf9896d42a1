"""Sign-ins of people: begun with a password, used with a secret of the browser, ended."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from dicom_node.sign_in.passwords import is_right
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.accounts.account_tables import Account, ProviderIdentity, SignedIn

_NOTED: Final = timedelta(minutes=1)
"""The use of a sign-in is noted so often at most: a page that is looked at writes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a sign-in ends by itself."""

    idle: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who is signed in.

    Attributes
    ----------
    issuer : the provider of identities that vouched for the person; None: a password did
    """

    name: str
    role: Role
    is_to_be_noted: bool
    issuer: str | None = None


def known_password(session: Session, name: str) -> tuple[int, str] | None:
    """Return the id and the password's hash of an account; None if there is none."""
    row = session.scalars(select(Account).where(Account.name == name)).first()
    return None if row is None else (row.id, row.password_hash)


def is_password_right(password: str, known: tuple[int, str] | None) -> bool:
    """Return whether a password is an account's; takes as long for an unknown one.

    Outside of a transaction: it takes a while.
    """
    return is_right(password, None if known is None else known[1])


def is_unchanged(session: Session, name: str, known: tuple[int, str]) -> bool:
    """Return whether an account has the password still; it keeps it until the transaction ends.

    Who changes a password ends the sign-ins that were begun, and can end none that comes later.
    """
    query = select(Account).where(Account.name == name).with_for_update()
    row = session.scalars(query).first()
    return row is not None and (row.id, row.password_hash) == known


def begin_sign_in(session: Session, account_id: int, *, limits: Limits, at: datetime) -> str:
    """Begin a sign-in, always with a new secret; return that, which only the browser keeps.

    Those that have ended by themselves are forgotten on this occasion.
    """
    session.execute(
        delete(SignedIn).where(
            or_(SignedIn.used_at < at - limits.idle, SignedIn.began_at < at - limits.longest)
        )
    )
    secret = secrets.token_urlsafe(32)
    session.add(
        SignedIn(account_id=account_id, secret_digest=digest_of(secret), began_at=at, used_at=at)
    )
    return secret


def signed_in(session: Session, secret: str, *, limits: Limits, at: datetime) -> Person | None:
    """Return who has this secret; None if nobody has, or not any more."""
    query = (
        select(SignedIn, Account, ProviderIdentity.issuer)
        .join(Account, Account.id == SignedIn.account_id)
        .outerjoin(ProviderIdentity, ProviderIdentity.account_id == Account.id)
        .where(
            SignedIn.secret_digest == digest_of(secret),
            SignedIn.used_at >= at - limits.idle,
            SignedIn.began_at >= at - limits.longest,
        )
    )
    found = session.execute(query).first()
    if found is None:
        return None
    row, account, issuer = found
    is_to_be_noted = at - row.used_at >= min(_NOTED, limits.idle / 4)
    return Person(
        name=account.name,
        role=Role(account.role),
        is_to_be_noted=is_to_be_noted,
        issuer=issuer,
    )


def note_use(session: Session, secret: str, *, at: datetime) -> None:
    """Note that a sign-in is in use, so that it does not end."""
    query = select(SignedIn).where(SignedIn.secret_digest == digest_of(secret))
    row = session.scalars(query.with_for_update()).first()
    if row is not None:
        row.used_at = max(row.used_at, at)


def end_sign_in(session: Session, secret: str) -> None:
    """End a sign-in: its secret is worth nothing from then on."""
    session.execute(delete(SignedIn).where(SignedIn.secret_digest == digest_of(secret)))


def digest_of(secret: str) -> str:
    """Return the digest by which the ledger knows a secret of 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def form_token(secret: str) -> str:
    """Return what the forms of a signed-in person hold, which no other site can know."""
    return hmac.new(secret.encode("utf-8", "replace"), b"form", hashlib.sha256).hexdigest()
