"""The names that the node gives to received objects and to their files in the spool."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

FILE_SUFFIX: Final = ".dcm"
_RECEIPT_PATTERN: Final = re.compile(r"([0-9]{19})-([0-9a-f]{16})-([0-9a-f]{8})")


@dataclass(frozen=True, slots=True, order=True)
class Receipt:
    """The node's own name for one received object: time, association and a token.

    Attributes
    ----------
    received_ns : nanoseconds since 1970, UTC
    association : 16 hexadecimal digits
    token : 8 hexadecimal digits
        Distinguishes objects of one association received in the same nanosecond.
    """

    received_ns: int
    association: str
    token: str

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Parse a file's stem; None where the spool did not name the file."""
        match = _RECEIPT_PATTERN.fullmatch(name)
        return cls(int(match[1]), match[2], match[3]) if match else None

    @property
    def received_at(self) -> datetime:
        """Return the time of reception, in UTC and timezone-aware."""
        return datetime.fromtimestamp(self.received_ns / 1e9, UTC)

    def __str__(self) -> str:
        return f"{self.received_ns:019d}-{self.association}-{self.token}"


def new_association_token() -> str:
    """Return 16 hexadecimal digits that name one association in receipts."""
    return secrets.token_hex(8)


def incoming_place(receipt: Receipt) -> str:
    """Return the path, relative to the spool, of an object that waits for the registrar."""
    return f"incoming/{receipt}{FILE_SUFFIX}"


def study_place(receipt: Receipt, study_instance_uid: str) -> str:
    """Return the path, relative to the spool, of a registered object of a study."""
    # A UID comes from the network and may hold anything, "../" too: only its hash names a folder.
    folder = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:32]
    return f"studies/{folder}/{receipt}{FILE_SUFFIX}"


def set_aside_place(receipt: Receipt) -> str:
    """Return the path, relative to the spool, of an object that was set aside."""
    return f"set-aside/{receipt}{FILE_SUFFIX}"


def result_place(analysis_id: int, version: int, name: str) -> str:
    """Return the path, relative to the spool, of one result object.

    Parameters
    ----------
    version : version of the analysis at the claim under which the result is made
        Never used twice, unlike the number of attempts, which starts again: a worker that
        lost its lease writes beside its successor, not over it.
    """
    return f"results/{analysis_id}/{version}/{name}{FILE_SUFFIX}"


def incoming_receipts(root: Path) -> list[Receipt]:
    """List the objects of a spool that wait for the registrar, oldest first; makes nothing."""
    files = (root / "incoming").glob(f"*{FILE_SUFFIX}")
    receipts = (Receipt.parse(file.name.removesuffix(FILE_SUFFIX)) for file in files)
    return sorted(receipt for receipt in receipts if receipt is not None)
