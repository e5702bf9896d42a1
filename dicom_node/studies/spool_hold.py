"""Which node process works on a spool, as the ledger knows it: none works on a copy beside it.

A lock in the spool keeps a second process from the same folder. It says nothing of a copy of that
folder, whose node would take the files that it lacks for lost. So the process that works on a spool
says so in the ledger again and again, by a token that changes each time. It keeps the token in the
spool, to be known again when it is started anew: a copy is another folder, or has an old one.
"""

import secrets
import time
from contextlib import suppress
from typing import Final

from dicom_node.spool.files.private_files import create_private_file
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.spools import SpoolHeldError, hold_spool, release_spool
from dicom_node.studies.own_spool import spool_name

_NAME: Final = "spool.holder"
_EVERY_SECONDS: Final = 5.0


class SpoolHold:
    """The hold of one node process on its spool.

    A ledger in SQLite is a file of one host and commonly of the spool: its copy is another ledger,
    and nothing is held there.
    """

    def __init__(self, spool: Spool, database: Database) -> None:
        self._spool = spool
        self._database = database
        self._folder = str(spool.root.stat().st_ino)
        self._tokens = frozenset(self._read())
        self._held = ""
        self._next = 0.0

    def keep(self, spool_id: int) -> None:
        """Take the spool, or say again that this process has it; does nothing if it just did.

        Raises
        ------
        SpoolHeldError
            Another node works on it, or on that of which it is a copy.
        """
        if not self._database.has_own_clock or time.monotonic() < self._next:
            return
        token, former = secrets.token_hex(16), self._tokens
        # Before the ledger has it: a process that is killed in between is known by either.
        self._tokens |= {token}
        self._write()
        try:
            with self._database.writing() as session:
                name = spool_name(self._spool.root)
                hold_spool(session, spool_id, token, former=former, name=name)
        except SpoolHeldError:
            self._tokens, self._held = former, ""
            raise
        self._tokens, self._held = frozenset({token}), token
        self._next = time.monotonic() + _EVERY_SECONDS

    def release(self, spool_id: int) -> None:
        """Let another process have the spool at once; a ledger that is away lets it later."""
        if self._held:
            with suppress(DATABASE_TROUBLE), self._database.writing() as session:
                release_spool(session, spool_id, self._held)

    def _read(self) -> list[str]:
        try:
            folder, *tokens = (self._spool.root / _NAME).read_text("ascii", "replace").split()
        except (OSError, ValueError):
            return []
        return tokens if folder == self._folder else []

    def _write(self) -> None:
        partial = self._spool.root / "partial" / f"incoming-holder-{secrets.token_hex(16)}"
        # On a full disk the node works on, and is known again a little later once it is killed.
        with suppress(OSError):
            try:
                with create_private_file(partial) as stream:
                    stream.write("\n".join([self._folder, *sorted(self._tokens)]).encode())
                partial.rename(self._spool.root / _NAME)
            finally:
                partial.unlink(missing_ok=True)
