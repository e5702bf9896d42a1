"""A note between receiving processes: an association waits for a place that others could free."""

import os
import secrets
from pathlib import Path
from typing import Final

_NOTE_BYTES: Final = 128
_ANY: Final = "any"


class WantedRoom:
    """The latest note, in a file of the folder of open associations."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wanted"
        self._seen = self._read()

    def ask(self, address: str | None, *, for_known: bool) -> None:
        """Ask the other processes to end an association from an address; None: from any."""
        words = [secrets.token_hex(4), address or _ANY, str(int(for_known))]
        note = " ".join(words).encode().ljust(_NOTE_BYTES)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, note, 0)
        finally:
            os.close(descriptor)
        self._seen = note

    def asked(self) -> tuple[str | None, bool] | None:
        """Return address and standing of what another process asks for; None if that is old."""
        note = self._read()
        if note == self._seen:
            return None
        self._seen = note
        words = note.decode(errors="replace").split()
        if len(words) != 3:
            return None
        return None if words[1] == _ANY else words[1], words[2] == "1"

    def _read(self) -> bytes:
        try:
            return self._file.read_bytes()[:_NOTE_BYTES]
        except OSError:
            return b""
