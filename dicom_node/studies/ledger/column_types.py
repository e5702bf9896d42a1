"""The ledger's column types: what SQLite keeps as it comes, PostgreSQL must keep alike."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    Integer,
    String,
    Text,
    TypeDecorator,
)

# SQLite's INTEGER holds 64 bits; PostgreSQL's holds 32, and an object may be larger than 2 GiB.
SIZE: Final = Integer().with_variant(BigInteger(), "postgresql")
"""A number of bytes."""


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, stored in UTC without an offset, alike in SQLite and PostgreSQL."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse times without a zone, store UTC."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger refuses times without a zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the zone UTC to a stored time."""
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


class FittingString(TypeDecorator[str]):
    """Text that is cut to its column and freed of what PostgreSQL refuses.

    Headers and answers come from the network: a row that SQLite takes and PostgreSQL refuses
    would keep its object out of the ledger for ever.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Cut the text, and replace the characters that the database cannot store."""
        del dialect
        return None if value is None else _storable(value)[: self.length]


class FittingText(TypeDecorator[str]):
    """Text of any length, freed of what PostgreSQL refuses."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace the characters that the database cannot store."""
        del dialect
        return None if value is None else _storable(value)


def _storable(value: str) -> str:
    # NUL is no character of PostgreSQL's text, and a lone surrogate none of UTF-8.
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def stored(states: type[StrEnum]) -> Enum:
    """Return the column type of a state machine's states.

    Plain text without a constraint, so that a new state needs no migration; values and not member
    names, so that renaming a member needs none either.
    """
    return Enum(
        states,
        values_callable=lambda members: [member.value for member in members],
        native_enum=False,
        create_constraint=False,
        length=16,
    )
