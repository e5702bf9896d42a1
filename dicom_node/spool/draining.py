"""Whether the node takes nothing new: a file in the spool, which every process sees at once."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import create_private_file

_FILE: Final = "draining.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """Who had the node drained, when and why.

    Attributes
    ----------
    since : ISO 8601 with zone
    """

    by: str
    since: str
    reason: str

    def in_words(self) -> str:
        """Say it in one sentence."""
        why = f": {self.reason}" if self.reason else ""
        return f"the node takes nothing new, by {self.by} since {self.since}{why}"


def begin_draining(root: Path, *, by: str, reason: str) -> Draining:
    """Have the node take nothing new, until `end_draining`; what it has is finished.

    On return that is flushed to disk.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found = Draining(by=by, since=now, reason=reason)
    partial = root / "partial" / f"incoming-drain-{secrets.token_hex(16)}"
    with create_private_file(partial) as stream:
        stream.write(json.dumps(asdict(found)).encode())
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(root / _FILE)
    flush_folder(root)
    return found


def end_draining(root: Path) -> bool:
    """Have the node receive again; return False if it did. On return that is flushed to disk."""
    try:
        (root / _FILE).unlink()
    except FileNotFoundError:
        return False
    flush_folder(root)
    return True


def is_draining(root: Path) -> bool:
    """Return whether the node takes nothing new."""
    return (root / _FILE).exists()


def draining(root: Path) -> Draining | None:
    """Return who had the node drained; None if it receives."""
    try:
        words = json.loads((root / _FILE).read_bytes())
        return Draining(by=words["by"], since=words["since"], reason=words["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return Draining(by="somebody", since="some time", reason="")
