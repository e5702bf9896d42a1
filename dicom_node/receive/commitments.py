"""Answers senders that ask for storage commitment: judges what is held, and reports it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from time import monotonic
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicom_node.errors import DestinationDownError
from dicom_node.send.commitment_report import report_of, send_report
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import CommitmentSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.line_reports import LineReports
from dicom_node.spool.messages.sender_requests import SenderRequest, SenderRequests
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.proof.sender_requests import (
    Asked,
    Reference,
    Report,
    due_reports,
    enter_commitment,
    note_reported,
    places_of,
    postpone_report,
    unknown_among,
)
from dicom_node.studies.own_spool import own_spool

log = structlog.get_logger("dicom_node.commitment")

_PATIENCE: Final = timedelta(minutes=10)
"""How long an object that was received before the request may take to be registered."""

_FIRST_WAIT: Final = timedelta(seconds=10)
_LONGEST_WAIT: Final = timedelta(minutes=15)
_MOST_DOUBLINGS: Final = 10
_LINE_PATIENCE: Final = 10.0
"""Seconds after which a sender that has not answered on its association is called instead."""

_REPORTS_AT_ONCE: Final = 20
_DESTINATIONS: Final = "[[destinations]]"
_COMMITMENT: Final = "[[receive.commitment]]"


class Commitments:
    """Requests from the spool, through the ledger, to the report; may be killed at any point.

    A request stays in the spool until it is in the ledger, and there until its sender has taken
    the report.
    """

    def __init__(
        self, settings: Settings, spool: Spool, database: Database, *, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._database = database
        self._clock = clock
        self._requests = SenderRequests(spool.root)
        self._line_reports = LineReports(spool.root)
        self._line_reports.clear()
        self._lines: dict[tuple[str, str], _Line] = {}
        self._peers = {one.ae_title: one for one in settings.receive.commitment}

    def judge_waiting(self) -> int:
        """Enter what waits into the ledger; for the thread that registers, after it has."""
        judged = 0
        for file, came_at, request in self._requests.waiting():
            asked = None if request is None else asked_in(request)
            if asked is None:
                log.warning(
                    "commitment_unreadable",
                    calling_ae_title="" if request is None else request.calling_ae_title,
                )
            else:
                if request is not None and request.association:
                    line = _Line(request.association, request.transfer_syntax)
                    self._lines[asked.calling_ae_title, asked.transaction_uid] = line
                if not self._enter(asked, came_at):
                    continue
            self._requests.drop(file)
            judged += 1
        return judged

    def report_due(self) -> int:
        """Send the reports that are due; return how many their senders have taken."""
        with self._database.reading() as session:
            due = due_reports(session, at=self._clock(), limit=_REPORTS_AT_ONCE)
        taken, away = 0, set()
        for report in due:
            is_told = self._tell_on_its_line(report)
            if is_told is not None:
                taken += is_told
                continue
            if report.calling_ae_title in away:
                continue  # it waits as long for the others
            if self._send(report):
                taken += 1
            else:
                away.add(report.calling_ae_title)
        return taken

    def _tell_on_its_line(self, report: Report) -> bool | None:
        """Tell a sender over the association of its request; None if it must be called instead."""
        key = report.calling_ae_title, report.transaction_uid
        line = self._lines.get(key)
        if line is None:
            return None
        if line.offered_at is None and self._line_reports.is_waiting(line.association):
            dataset, event_type = _dataset_of(report)
            content = _encoded(dataset, line.transfer_syntax)
            self._line_reports.offer(line.association, report.id, event_type, content)
            line.offered_at = monotonic()
            return False
        if self._line_reports.was_told(line.association, report.id):
            del self._lines[key]
            self._note_taken(report)
            return True
        is_late = line.offered_at is None or monotonic() - line.offered_at > _LINE_PATIENCE
        if is_late or not self._line_reports.is_waiting(line.association):
            self._line_reports.withdraw(line.association, report.id)
            del self._lines[key]
            return None
        return False

    def _enter(self, asked: Asked, came_at: datetime) -> bool:
        """Commit to what is held; False while objects received before may yet be registered."""
        with self._database.reading() as session:
            places = places_of(session, asked.references)
            is_unknown = unknown_among(session, asked.references)
        at = self._clock()
        if is_unknown and at - came_at < _PATIENCE:
            waiting = self._spool.incoming()
            # What is later than now was received before the clock was set back.
            if waiting and not came_at < waiting[0].received_at <= at:
                return False
        # What another node has registered is in its spool, flushed: its disk is not seen from here.
        own = own_spool(self._spool, self._database)
        there = {
            place
            for place, spool_id in places.items()
            if spool_id != own or self._spool.file(place).is_file()
        }
        with self._database.writing() as session:
            enter_commitment(session, asked, is_there=there, at=at)
        return True

    def _send(self, report: Report) -> bool:
        peer = self._peers.get(report.calling_ae_title)
        if peer is None:
            self._put_off(report, "it is not in receive.commitment any more")
            return False
        try:
            send_report(
                _destination(peer),
                report.transaction_uid,
                [_named(one) for one in report.committed],
                [(_named(one), reason) for one, reason in report.failed],
                calling_ae_title=report.called_ae_title,
                tls=self._settings.tls,
            )
        except DestinationDownError as error:
            # A sender is called like a destination, and is configured elsewhere.
            self._put_off(report, str(error).replace(_DESTINATIONS, _COMMITMENT))
            return False
        self._note_taken(report)
        return True

    def _note_taken(self, report: Report) -> None:
        with self._database.writing() as session:
            note_reported(session, report, at=self._clock())
        log.info(
            "commitment_reported",
            calling_ae_title=report.calling_ae_title,
            count=len(report.committed),
        )

    def _put_off(self, report: Report, reason: str) -> None:
        at = self._clock()
        is_too_old = at - report.requested_at > timedelta(
            seconds=self._settings.retry.expire_seconds
        )
        with self._database.writing() as session:
            if is_too_old:
                note_reported(session, report, at=at, reason=f"given up: {reason}")
            else:
                wait = _FIRST_WAIT * 2 ** min(report.attempts, _MOST_DOUBLINGS)
                postpone_report(
                    session, report, wait=min(wait, _LONGEST_WAIT), at=at, reason=reason
                )
        log.warning(
            "commitment_report_given_up" if is_too_old else "commitment_report_postponed",
            calling_ae_title=report.calling_ae_title,
            detail=reason,
        )


@dataclass
class _Line:
    """The association over which a sender has asked, and waits to be told."""

    association: str
    transfer_syntax: str
    offered_at: float | None = None


def _dataset_of(report: Report) -> tuple[Dataset, int]:
    return report_of(
        report.transaction_uid,
        [_named(one) for one in report.committed],
        [(_named(one), reason) for one, reason in report.failed],
    )


def _encoded(dataset: Dataset, transfer_syntax: str) -> bytes:
    syntax = UID(transfer_syntax)
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = (
        syntax.is_implicit_VR,
        syntax.is_little_endian,
    )
    write_dataset(stream, dataset)
    return bytes(stream.getvalue())


def asked_in(request: SenderRequest) -> Asked | None:
    """Read a request; None if it is none (PS3.4 J.3.2.1.1)."""
    try:
        dataset = _decoded(request)
        transaction = str(dataset.TransactionUID)
        references = tuple(
            Reference(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in dataset.ReferencedSOPSequence
        )
        uids = [transaction, *(uid for one in references for uid in _named(one))]
    except Exception:  # noqa: BLE001  bytes from the network can make the library raise any error
        return None
    if not references or not all(UID(uid).is_valid for uid in uids):
        return None
    return Asked(
        transaction_uid=transaction,
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        references=references,
    )


def _decoded(request: SenderRequest) -> Dataset:
    syntax = UID(request.transfer_syntax)
    return read_dataset(BytesIO(request.content), syntax.is_implicit_VR, syntax.is_little_endian)


def _named(one: Reference) -> tuple[str, str]:
    return one.sop_class_uid, one.sop_instance_uid


def _destination(peer: CommitmentSettings) -> DicomDestination:
    return DicomDestination(
        name="sender",
        ae_title=peer.ae_title,
        host=peer.host,
        port=peer.port,
        tls=peer.tls,
        tls_server_name=peer.tls_server_name,
    )
