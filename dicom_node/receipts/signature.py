"""Signatures under receipts: Ed25519 (RFC 8032), by a key that stays in the spool."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicom_node.errors import NodeError
from dicom_node.spool.files.written_once import write_once
from dicom_node.spool.local_disk import Spool

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM: Final = "Ed25519"
KEY_FILE: Final = "receipts.key"
_BYTES: Final = 32


class SignatureError(NodeError):
    """Nothing can be signed or verified: the library or the key is missing."""

    reason = "signature"


class ReceiptKey:
    """The key of a spool, made at its first use and readable by its owner only.

    Raises
    ------
    SignatureError
        The library cryptography is not installed, or the file does not hold a key.
    """

    def __init__(self, spool: Spool) -> None:
        file = write_once(spool, KEY_FILE, secrets.token_bytes(_BYTES))
        self._key = _private(file)

    @property
    def public(self) -> str:
        """Return the public key, 64 hexadecimal digits: by this receipts are verified."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> str:
        """Return the signature of a message, 128 hexadecimal digits."""
        return self._key.sign(message).hex()


def is_signed_by(public: str, signature: str, message: bytes) -> bool:
    """Return whether this key has signed this message.

    Raises
    ------
    SignatureError
        The library cryptography is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise SignatureError(_MISSING) from error
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


_MISSING: Final = (
    "signatures need the library cryptography, which is not installed: "
    "install the extra 'receipts' (pip install '.[receipts]' in the project's folder)"
)


def _private(file: Path) -> "Ed25519PrivateKey":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise SignatureError(_MISSING) from error
    seed = file.read_bytes()
    if len(seed) != _BYTES:
        raise SignatureError(
            f"{file} holds {len(seed)} bytes instead of {_BYTES}: restore it from a back-up, or "
            "delete it to get a new key; receipts that are signed so far stay valid by the old one"
        )
    return Ed25519PrivateKey.from_private_bytes(seed)
