"""Judges reports on storage commitment: believed only of an open transaction, by whom it asked."""

import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ImplicitVRLittleEndian
from sqlalchemy.orm import Session

from dicom_node.proof.verdicts import Judge, Word
from dicom_node.settings.settings import Settings
from dicom_node.spool.messages.reports import Report, Reports
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.proof.archive_requests import asked_about, end_request
from dicom_node.studies.ledger.proof.proofs import ProofClaim
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Delivery

log = structlog.get_logger("dicom_node.proof")

_NO_SUCH_OBJECT: Final = 0x0112
_OF_ANOTHER_CLASS: Final = 0x0119
_ABSENT: Final = frozenset({_NO_SUCH_OBJECT, _OF_ANOTHER_CLASS})
"""Failure Reasons by which the archive does not hold the object (PS3.3 C.14.1.1)."""

_REASONS: Final = {
    0x0110: "processing failure",
    0x0112: "no such object",
    0x0119: "an object of another SOP Class",
    0x0122: "SOP Class not supported",
    0x0131: "transaction UID used before",
    0x0213: "resource limitation",
}


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What a report says (PS3.4 table J.3-2).

    Attributes
    ----------
    committed : SOP Instance UID to SOP Class UID
    failed : SOP Instance UID to Failure Reason, 0 where none is given
    """

    transaction_uid: str
    committed: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)


def read_report(report: Report) -> ReportContent | None:
    """Read the data set of a report, whatever its Event Type ID was; None if it is none."""
    try:
        dataset = read_dataset(
            io.BytesIO(report.content),
            is_implicit_VR=report.transfer_syntax == ImplicitVRLittleEndian,
            is_little_endian=True,
        )
        failed = {_uid(item): _reason(item) for item in _items(dataset, "FailedSOPSequence")}
        committed = {
            _uid(item): str(item.ReferencedSOPClassUID)
            for item in _items(dataset, "ReferencedSOPSequence")
        }
        return ReportContent(str(dataset.TransactionUID), committed, failed)
    except Exception:  # noqa: BLE001  whatever a library makes of bytes from the network
        return None


class ReportJudge:
    """Takes the reports that wait in the spool, one after the other."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        reports: Reports,
        *,
        believes: Callable[[datetime], bool] = lambda _: True,
    ) -> None:
        self._settings = settings
        self._database = database
        self._reports = reports
        self._believes = believes

    def judge_all(self) -> None:
        """Judge every report that waits; each is deleted once the ledger has what it says."""
        for file, report in self._reports.waiting():
            try:
                ignored = "is no report" if report is None else self._judge(report)
                if ignored:
                    log.warning(
                        "report_ignored",
                        reason=ignored,
                        calling_ae_title="" if report is None else report.calling_ae_title,
                        address="" if report is None else report.address,
                    )
            except DATABASE_TROUBLE:
                raise
            except Exception as error:  # one report must not keep the next from being read
                log.exception("report_failed", reason=type(error).__name__)
            self._reports.drop(file)

    def _judge(self, report: Report) -> str:
        """Record what a report says; return why it is ignored, or nothing."""
        said = read_report(report)
        if said is None:
            return "its data set cannot be read"
        with self._database.reading() as session:
            about = asked_about(session, said.transaction_uid, report.destinations)
        if about is None:
            return "it names no transaction that is open with this archive"
        held, asked = about
        ending = "answered"
        if held is not None:
            word = _word(held, asked, said)
            if not (word.proven or word.missing or word.trouble):
                return "it names no object that was asked for"
            ending = word.trouble or (f"{len(word.proven)} committed, {len(word.missing)} not held")
            self._settle(held, word)
        with self._database.writing() as session:
            end_request(session, said.transaction_uid, ending, at=database_time(session))
        return ""

    def _settle(self, held: ProofClaim, word: Word) -> None:
        with self._database.reading() as session:
            name = _destination_of(session, held)
        destination = self._settings.archive(name)
        if destination is not None:
            judge = Judge(
                destination=destination,
                retry=self._settings.retry,
                database=self._database,
                believes=self._believes,
            )
            judge.settle(held, word)


def _word(held: ProofClaim, asked: frozenset[int], said: ReportContent) -> Word:
    """Return what a report says of the objects that were asked for, and of no other."""
    word = Word(state=DeliveryState.COMMITTED, by="storage commitment")
    other: Counter[int] = Counter()
    for one in held.objects:
        if one.id not in asked:
            continue
        if one.sop_instance_uid in said.failed:
            if one.is_retraction:  # which archives may hide once they have heeded it
                continue
            reason = said.failed[one.sop_instance_uid]
            if reason in _ABSENT:
                word.missing.add(one.id)
            else:
                other[reason] += 1
        elif said.committed.get(one.sop_instance_uid) == one.sop_class_uid:
            word.proven[one.id] = "committed"
    if other:
        words = (
            f"{_REASONS.get(reason, 'failure')} (0x{reason & 0xFFFF:04X})"
            for reason in sorted(other)
        )
        word.trouble = f"{other.total()} objects not committed: {', '.join(words)}"
        if word.missing:
            word.trouble += f"; {len(word.missing)} are not held there"
    return word


def _destination_of(session: Session, held: ProofClaim) -> str:
    return str(session.get_one(Delivery, held.delivery_id).destination)


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    return list(dataset.get(keyword) or [])


def _uid(item: Dataset) -> str:
    return str(item.ReferencedSOPInstanceUID)


def _reason(item: Dataset) -> int:
    return int(item.get("FailureReason") or 0)
