"""Tables of the console: accounts, sign-ins and tokens of programs, without any secret."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from dicom_node.studies.ledger.column_types import FittingString, FittingText
from dicom_node.studies.ledger.tables import Base


class Account(Base):
    """One person who may use the console."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(FittingString(64))
    role: Mapped[str] = mapped_column(FittingString(16))
    password_hash: Mapped[str] = mapped_column(FittingText)
    """Argon2id, with its parameters and salt; nobody can sign in with an empty one."""
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    """When password or role changed last."""


class ProviderIdentity(Base):
    """Who a person is at the provider of identities, of an account that has no password."""

    __tablename__ = "provider_identities"
    __table_args__ = (UniqueConstraint("account_id"), UniqueConstraint("issuer", "subject"))

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    issuer: Mapped[str] = mapped_column(FittingText)
    subject: Mapped[str] = mapped_column(FittingString(255))
    """For good, whatever name the person has (OpenID Connect Core 5.7)."""


class SignedIn(Base):
    """One sign-in of an account that has not ended."""

    __tablename__ = "sign_ins"
    __table_args__ = (UniqueConstraint("secret_digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), index=True
    )
    secret_digest: Mapped[str] = mapped_column(FittingString(64))
    """SHA-256 of what the browser shows: whoever reads the ledger cannot sign in with it."""
    began_at: Mapped[datetime]
    used_at: Mapped[datetime]
    """When it was used last, to a minute."""


class ApiToken(Base):
    """One token by which a program uses the REST API."""

    __tablename__ = "api_tokens"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("secret_digest"))

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(FittingString(64))
    role: Mapped[str] = mapped_column(FittingString(16))
    secret_digest: Mapped[str] = mapped_column(FittingString(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    """None: until it is removed."""
