"""Words in the place of identifiers: the same for the same, and keyed, so that none leads back."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

_UID: Final = re.compile(r"(?<![0-9.])(?:2\.25\.[0-9]{9,}|[0-2](?:\.[0-9]+){3,})(?!\.?[0-9])")
"""No version, which has three numbers at most."""

_STANDARD: Final = "1.2.840.10008."
_WORD_DIGITS: Final = 16
_PURPOSE: Final = b"pseudonyms"


class Pseudonyms:
    """Makes pseudonyms by HMAC-SHA-256 under a key of their own.

    Parameters
    ----------
    installation_key : secret of the installation, from which that key follows
    """

    def __init__(self, installation_key: bytes) -> None:
        self._key = hmac.digest(installation_key, _PURPOSE, hashlib.sha256)

    def uid(self, uid: str) -> str:
        """Return a UID for a UID; those of the standard and empty ones stay (PS3.5 B.2)."""
        if not uid or uid.startswith(_STANDARD):
            return uid
        number = int.from_bytes(self._digest("uid", uid)[:16], "big")
        return f"2.25.{number}"

    def word(self, kind: str, value: str) -> str:
        """Return 16 hexadecimal digits for a value; empty for an empty one.

        Parameters
        ----------
        kind : what the value is, such as ``PatientID``: equal values of two kinds are told apart
        """
        return self._digest(kind, value).hex()[:_WORD_DIGITS] if value else ""

    def text(self, text: str) -> str:
        """Return a text with each UID in it replaced."""
        return _UID.sub(lambda found: self.uid(found[0]), text)

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row of a table with each UID in it replaced, and without names of files."""
        return {
            name: None
            if name == "file" and value
            else self.text(value)
            if isinstance(value, str)
            else value
            for name, value in row.items()
        }

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self._key, f"{kind}\0{value}".encode(), hashlib.sha256)
