"""What ``mammoclip-node erase`` does: everything kept of studies goes, and a record says so."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dicom_node.commands.account import account
from dicom_node.commands.waiting import waiting_objects
from dicom_node.errors import NodeError
from dicom_node.node_parts import open_spool, registrar_of, utc_now
from dicom_node.receive.commitments import Commitments
from dicom_node.settings.settings import Settings
from dicom_node.spool.files.flushing import flush_folder
from dicom_node.spool.files.private_files import ensure_private_file
from dicom_node.spool.local_disk import Spool, SpoolInUseError
from dicom_node.spool.names import incoming_receipts
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.removal.erasing import (
    Holding,
    erase_study,
    files_left,
    holding,
    studies_of_patient,
)
from dicom_node.studies.ledger.spools import spool_names
from dicom_node.studies.own_spool import own_spool
from dicom_node.studies.retention import Retention
from dicom_node.studies.uploads import Uploads
from mammoclip_core.counting import counted

RECORD: Final = "erased.jsonl"
"""File in the spool that says what was erased, when and by whom; a line for each step."""

_LONGEST_WAIT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The spool and the ledger in which something is erased."""

    settings: Settings
    database: Database

    def register_what_waits(self, *, force: bool) -> None:
        """Have everything received so far entered into the ledger, by the node or else here.

        Raises
        ------
        NodeError
            Something cannot be registered, and may be of what is to be erased; not with `force`.
        """
        before = set(incoming_receipts(self.settings.spool))
        spool = open_spool(self.settings)
        try:
            with spool.owned(), closing(registrar_of(self.settings, spool, self.database)) as one:
                commitments = Commitments(spool, self.database, clock=self.database.now)
                commitments.judge_after(one.register_all)
        except SpoolInUseError:
            _wait_until(lambda: not before & set(incoming_receipts(self.settings.spool)))
        if before & set(incoming_receipts(self.settings.spool)) and not force:
            raise NodeError(
                f"{waiting_objects(self.settings.spool).in_words()} They may be of what is to be "
                "erased: see its log and try again, or give --force to leave them"
            )

    def holdings(self, study: str | None, patient_id: str | None) -> list[Holding]:
        """Return what is kept of a study, or of each study of a patient.

        Raises
        ------
        UnknownStudyError, LedgerError
        NodeError
            Nothing is known of the patient.
        """
        with self.database.reading() as session:
            if study is not None:
                return [holding(session, study)]
            assert patient_id is not None, "a study or a patient is named"
            key = installation_key(open_spool(self.settings), self.database)
            found = studies_of_patient(session, patient_id, key)
            if not found:
                # Without the number: terminals are recorded.
                raise NodeError(
                    "no study in the ledger has this Patient ID. It is compared as it stands in "
                    "the images, capitals and zeros included"
                )
            return [holding(session, one) for one in found]

    def erase(self, holdings: Sequence[Holding], *, force: bool) -> Iterator[str]:
        """Erase studies; yields a sentence for each, and what is left to do elsewhere.

        Raises
        ------
        UnderWayError
            Something of a study is under way; those before it are erased.
        """
        spool = open_spool(self.settings)
        self._require_nothing_under_way(holdings, force=force)
        ids = []
        for one in holdings:
            _record(spool, one, "begun")
            with self.database.writing() as session:
                at = database_time(session)
                ids.append(erase_study(session, one.study_instance_uid, force=force, at=at))
        self._delete_files(spool, ids)
        for one in holdings:
            _record(spool, one, "erased")
            yield f"study {one.study_instance_uid}: {in_words(one)} erased"
        yield from self._held_elsewhere(ids)
        archives = sorted({name for one in holdings for name in one.delivered_to})
        if archives:
            yield (
                f"results were delivered to {', '.join(archives)}: erase them there as well, and "
                "the images at whoever sent them"
            )
        yield f"recorded in {spool.root / RECORD}"

    def _require_nothing_under_way(self, holdings: Sequence[Holding], *, force: bool) -> None:
        busy = [one for one in holdings if one.under_way]
        if busy and not force:
            raise NodeError(
                f"study {busy[0].study_instance_uid}: {busy[0].under_way}. Wait until it is done, "
                "or give --force to give it up"
            )

    def _delete_files(self, spool: Spool, study_ids: list[int]) -> None:
        """Delete the files here if no node runs; else wait for the node, which does it."""
        settings = self.settings.retention
        retention = Retention(spool, self.database, settings, clock=self.database.now)
        try:
            with spool.owned():
                _wait_until(lambda: self._are_deleted(spool, study_ids, retention))
        except SpoolInUseError:
            _wait_until(lambda: self._are_deleted(spool, study_ids, None))
        if not self._are_deleted(spool, study_ids, None):
            raise NodeError(
                "the ledger holds nothing of it any more, but not all files are deleted yet: a "
                "command may be reading them, or the log of 'mammoclip-node serve' says why. It "
                "goes on trying"
            )

    def _are_deleted(self, spool: Spool, study_ids: list[int], retention: Retention | None) -> bool:
        if retention is not None:
            retention.delete_marked()
            if self.settings.store.is_on:
                Uploads(spool, self.database, self.settings.store).delete_removed()
        own = own_spool(spool, self.database)
        with self.database.reading() as session:
            return not files_left(session, study_ids)[own]

    def _held_elsewhere(self, study_ids: list[int]) -> Iterator[str]:
        """Say what other nodes are still to delete of what was erased."""
        with self.database.reading() as session:
            names = spool_names(session)
            left = files_left(session, study_ids)
        for spool_id, count in sorted(left.items()):
            yield (
                f"{count} file{'s' if count > 1 else ''} of it still in the spool of another node, "
                f"{names.get(spool_id, spool_id)}: its 'mammoclip-node serve' deletes what was "
                "erased; see that it runs"
            )


def in_words(one: Holding) -> str:
    """Say what is kept of a study."""
    committed = f" ({one.committed} committed to their sender)" if one.committed else ""
    return (
        f"{counted(one.images, 'image')}{committed}, {counted(one.results, 'result')}, "
        f"{counted(one.set_aside, 'object')} set "
        f"aside, {one.size_bytes / 1e6:.1f} MB of images"
    )


def _wait_until(done: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + _LONGEST_WAIT_SECONDS
    while not done() and time.monotonic() < give_up_at:
        time.sleep(_LOOK_SECONDS)


def _record(spool: Spool, one: Holding, step: str) -> None:
    """Append a line that outlasts a power cut: UIDs of studies and numbers, and no patient."""
    line: dict[str, Any] = {
        "at": utc_now().isoformat(timespec="seconds"),
        "step": step,
        "by": account(),
        "study_instance_uid": one.study_instance_uid,
        "images": one.images,
        "set_aside": one.set_aside,
        "results": one.results,
        "bytes": one.size_bytes,
        "delivered_to": one.delivered_to,
    }
    file: Path = spool.root / RECORD
    ensure_private_file(file)
    flush_folder(spool.root)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
