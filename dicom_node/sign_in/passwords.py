"""Passwords as Argon2id hashes, a few at a time: each costs 64 MiB and a good part of a second."""

import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dicom_node.errors import NodeError

SHORTEST: Final = 12
LONGEST: Final = 256
"""Characters of a password; a longer one would cost time and add nothing."""

# RFC 9106 section 4, second recommended option, with one lane: other processes compute here too.
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
_AT_ONCE: Final = threading.BoundedSemaphore(2)
_NOBODYS: Final = (
    "$argon2id$v=19$m=65536,t=3,p=1$WmJB4LJSAm5JI7uL9x3zGA"
    "$X8qCplYb6n443z4uRqY/z4AZ3EeZ+7Kpx2ow4YyRrZU"
)
"""A hash of nobody's password, so that an unknown name takes as long as a wrong password."""


class WeakPasswordError(NodeError):
    """The password is too easy to guess, or too long."""

    reason = "weak-password"


def hash_of(password: str, *, name: str = "") -> str:
    """Return the hash of a new password, with its salt and parameters.

    Parameters
    ----------
    name : of its account, which must not be the password

    Raises
    ------
    WeakPasswordError
        It is shorter than 12 characters, longer than 256, one character again and again, or the
        name of the account.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPasswordError(f"a password has {SHORTEST} to {LONGEST} characters")
    if len(set(password)) < 4 or (name and password.casefold() == name.casefold()):
        raise WeakPasswordError("this password is too easy to guess: choose several words")
    with _AT_ONCE:
        return _HASHER.hash(password)


def is_right(password: str, known: str | None) -> bool:
    """Return whether a password is that of a hash; takes as long where there is none.

    Parameters
    ----------
    known : the hash; None or empty if there is no such account
    """
    if len(password) > LONGEST:
        password, known = "", None
    with _AT_ONCE:
        try:
            _HASHER.verify(known or _NOBODYS, password)
        except (VerificationError, InvalidHashError):
            return False
    return bool(known)
