"""Tells senders what the node has committed to: each sender in a thread of its own."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicom_node.errors import DestinationDownError
from dicom_node.facts.commitment_request import Asked, Reference
from dicom_node.send.commitment_report import report_of, send_report
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import CommitmentSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.spool.messages.line_reports import LineReports
from dicom_node.studies.ledger.arrival.coming import are_several
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.proof.sender_reports import (
    Report,
    Teller,
    claim_report,
    forgotten_reports,
    note_reported,
    postpone_reports,
    senders_due,
)

log = structlog.get_logger("dicom_node.commitment")

_FIRST_WAIT: Final = timedelta(seconds=10)
_LONGEST_WAIT: Final = timedelta(minutes=15)
_MOST_DOUBLINGS: Final = 10
_LINE_PATIENCE: Final = 10.0
"""Seconds after which a sender that has not answered on its association is called instead."""
_LINE_LOOK_SECONDS: Final = 0.1

_MOST_AT_ONCE: Final = 16
"""Senders that are told at once; of more, those whose reports are due the longest."""

_HEAD_START: Final = timedelta(seconds=30)
"""How long a node leaves the reports on what another one was asked to that one."""

_UNTRIED: Final = timedelta(days=1)
"""After so long without an attempt no node before the ledger knows the sender."""

_MOST_REMEMBERED: Final = 1000
_LAST_WAIT_SECONDS: Final = 10.0
_DESTINATIONS: Final = "[[destinations]]"
_COMMITMENT: Final = "[[receive.commitment]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The association and the presentation context in which a sender asked, and may be told."""

    name: str
    transfer_syntax: str


class CommitmentReports:
    """Sends the reports that are due, until each is taken or given up; may be killed at any point.

    A sender that keeps silent holds up its own thread and nobody else's. What is killed in between
    is sent again: the ledger knows when.

    Parameters
    ----------
    spool : folder
    """

    def __init__(
        self, settings: Settings, spool: Path, database: Database, *, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._lines = LineReports(spool)
        self._lines.clear()
        self._peers = {one.ae_title: one for one in settings.receive.commitment}
        self._own: dict[tuple[str, str], Line | None] = {}
        self._stopping = threading.Event()
        self._telling: dict[str, threading.Thread] = {}

    def expect(self, asked: Asked, line: Line | None) -> None:
        """Take note, before the ledger has a request, that this node is the one to report on it.

        Parameters
        ----------
        line : on which the sender may be told
        """
        self._own[asked.calling_ae_title, asked.transaction_uid] = line
        while len(self._own) > _MOST_REMEMBERED:
            # Another node has reported on it, or its sender is called, as after a restart.
            self._own.pop(next(iter(self._own)), None)

    def tick(self) -> None:
        """Begin to tell the senders of which something is due; wait for none of them."""
        at = self._clock()
        self._give_up_forgotten(at)
        with self._database.reading() as session:
            due = senders_due(session, self._peers, at=at)
        for title in due:
            # One that was busy or had to wait comes with a later tick.
            self._telling = {name: one for name, one in self._telling.items() if one.is_alive()}
            if title in self._telling or len(self._telling) >= _MOST_AT_ONCE:
                continue
            thread = threading.Thread(
                target=self._serve, args=(title,), name=f"report to {title}", daemon=True
            )
            thread.start()
            self._telling[title] = thread

    def stop(self) -> None:
        """Begin nothing more, and wait a while for what is being told."""
        self._stopping.set()
        give_up_at = monotonic() + _LAST_WAIT_SECONDS
        for thread in self._telling.values():
            thread.join(max(0.0, give_up_at - monotonic()))

    def _serve(self, title: str) -> None:
        try:
            self.report_to(title)
        # The next tick begins again, with what the ledger says then.
        except DATABASE_TROUBLE as error:
            log.warning(
                "commitment_report_postponed",
                calling_ae_title=title,
                detail=f"the ledger does not answer: {type(error).__name__}",
            )
        except Exception as error:  # the outermost frame of this thread
            log.exception("step_failed", reason=type(error).__name__)

    def report_to(self, title: str) -> int:
        """Send the reports that are due to one sender; return how many it has taken.

        Parameters
        ----------
        title : of a sender that the settings name
        """
        peer, taken = _destination(self._peers[title]), 0
        longest = timedelta(
            seconds=_LINE_PATIENCE + 2 * peer.longest_seconds() + peer.timeout_seconds
        )
        while not self._stopping.is_set():
            teller = self._teller(title)
            with self._database.writing() as session:
                at = self._clock()
                report = claim_report(session, teller, at=at, until=at + longest)
            if report is None:
                break
            taken += self._tell(report, peer, teller)
        return taken

    def _teller(self, title: str) -> Teller:
        with self._database.reading() as session:
            head_start = _HEAD_START if are_several(session) else timedelta(0)
        own = {uid: line for (sender, uid), line in self._own.copy().items() if sender == title}
        return Teller(
            calling_ae_title=title,
            own=frozenset(own),
            on_line=frozenset(uid for uid, line in own.items() if line is not None),
            head_start=head_start,
        )

    def _tell(self, report: Report, peer: DicomDestination, teller: Teller) -> bool:
        """Tell a sender over the association of its request, or else by a call."""
        key = report.calling_ae_title, report.transaction_uid
        line = self._own.get(key)
        if line is not None:
            if self._is_told_on(line, report):
                self._note_taken(report)
                return True
            self._own[key] = None
        try:
            send_report(
                peer,
                report.transaction_uid,
                [_named(one) for one in report.committed],
                [(_named(one), reason) for one, reason in report.failed],
                calling_ae_title=report.called_ae_title,
                tls=self._settings.tls,
            )
        except DestinationDownError as error:
            # A sender is called like a destination, and is configured elsewhere.
            self._put_off(report, teller, str(error).replace(_DESTINATIONS, _COMMITMENT))
            return False
        self._note_taken(report)
        return True

    def _is_told_on(self, line: Line, report: Report) -> bool:
        if not self._lines.is_waiting(line.name):
            return False
        dataset, event_type = _dataset_of(report)
        content = _encoded(dataset, line.transfer_syntax)
        self._lines.offer(line.name, report.id, event_type, content)
        give_up_at = monotonic() + _LINE_PATIENCE
        while monotonic() < give_up_at and self._lines.is_waiting(line.name):
            if self._lines.was_told(line.name, report.id):
                return True
            if self._stopping.wait(_LINE_LOOK_SECONDS):
                break
        self._lines.withdraw(line.name, report.id)
        return self._lines.was_told(line.name, report.id)

    def _note_taken(self, report: Report) -> None:
        with self._database.writing() as session:
            note_reported(session, report, at=self._clock())
        self._own.pop((report.calling_ae_title, report.transaction_uid), None)
        log.info(
            "commitment_reported",
            calling_ae_title=report.calling_ae_title,
            count=len(report.committed),
        )

    def _put_off(self, report: Report, teller: Teller, reason: str) -> None:
        at = self._clock()
        wait = _FIRST_WAIT * 2 ** min(report.attempts, _MOST_DOUBLINGS)
        with self._database.writing() as session:
            postpone_reports(
                session, report, teller, wait=min(wait, _LONGEST_WAIT), at=at, reason=reason
            )
        # Another node may reach the sender: from now on this one does not go before it.
        for transaction in {report.transaction_uid, *(teller.own - teller.on_line)}:
            self._own.pop((report.calling_ae_title, transaction), None)
        if at - report.requested_at > self._longest:
            self._give_up(report, reason, at)
            return
        log.warning(
            "commitment_report_postponed",
            calling_ae_title=report.calling_ae_title,
            detail=reason,
        )

    def _give_up_forgotten(self, at: datetime) -> None:
        with self._database.reading() as session:
            forgotten = forgotten_reports(
                session,
                self._peers,
                requested_before=at - self._longest,
                due_before=at - _UNTRIED,
            )
        for report in forgotten:
            self._give_up(report, "it is not in receive.commitment any more", at)

    def _give_up(self, report: Report, reason: str, at: datetime) -> None:
        with self._database.writing() as session:
            note_reported(session, report, at=at, reason=f"given up: {reason}")
        log.warning(
            "commitment_report_given_up", calling_ae_title=report.calling_ae_title, detail=reason
        )

    @property
    def _longest(self) -> timedelta:
        return timedelta(seconds=self._settings.retry.expire_seconds)


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
