"""Asks an archive for storage commitment, and takes its report if it comes at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import evt

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError, NotOfferedError
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.send.asking import ObjectToFind
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.destinations import DicomDestination

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
_REQUEST: Final = 1
_N_EVENT_REPORT: Final = 0x0100

_NOT_OFFERED: Final = frozenset({0x0112, 0x0118, 0x0119, 0x0122, 0x0123, 0x0124, 0x0211})
"""Statuses of N-ACTION that no repetition changes: no such instance, class, action and so on."""

STAYS_SECONDS: Final = 3.0
"""How long the association stays open for an archive that reports over the same one."""

TakeReport = Callable[[str, bytes], int]
"""Keeps a report, of a transfer syntax, and returns the status to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentQuestion:
    """One transaction: what the archive is asked to take the responsibility for."""

    transaction_uid: str
    objects: Sequence[ObjectToFind]


class CommitmentAsker:
    """An SCU of the Storage Commitment Push Model (PS3.4 J.3.2).

    Parameters
    ----------
    calling_ae_title : AE title
        The node's own, used unless the destination sets one.
    take_report : keeps a report that comes over the same association
    tls : certificates of [tls]
    stays_seconds : how long the association stays open for such a report
    """

    def __init__(
        self,
        destination: DicomDestination,
        *,
        calling_ae_title: str,
        take_report: TakeReport,
        tls: TlsSettings = NO_CERTIFICATES,
        stays_seconds: float = STAYS_SECONDS,
    ) -> None:
        self._destination = destination
        self._calling_ae_title = destination.calling_ae_title or calling_ae_title
        self._take_report = take_report
        self._tls = tls
        self._stays_seconds = stays_seconds

    def ask(self, questions: Sequence[CommitmentQuestion]) -> Iterator[tuple[str, int]]:
        """Ask over one association; yield the transaction and the status of each as it arrives.

        Raises
        ------
        DestinationDownError
            The archive cannot be reached, or stopped answering.
        NotOfferedError
            It does not offer storage commitment, or not to this node.
        """
        left = len(questions)
        reported = threading.Semaphore(0)

        def on_report(event: Any) -> tuple[int, None]:
            status = self._take_report(
                str(event.context.transfer_syntax), event.request.EventInformation.getvalue()
            )
            reported.release()
            return status, None

        handlers = [(evt.EVT_N_EVENT_REPORT, on_report), (evt.EVT_DIMSE_RECV, _add_event_type)]
        with Deadline() as deadline:
            association = associate(
                self._destination,
                self._calling_ae_title,
                {(STORAGE_COMMITMENT, syntax) for syntax in UNCOMPRESSED},
                deadline=deadline,
                tls=self._tls,
                handlers=handlers,
            )
            if not association.is_established:
                raise NotOfferedError(f"{self._destination.name} does not offer storage commitment")
            try:
                for question in questions:
                    with deadline.within(self._destination.longest_seconds()):
                        status = self._ask(association, question, deadline)
                    yield question.transaction_uid, status
                with deadline.within(self._stays_seconds + self._destination.timeout_seconds):
                    while left and reported.acquire(timeout=self._stays_seconds):
                        left -= 1
            finally:
                with deadline.within(self._destination.timeout_seconds):
                    if association.is_established:
                        association.release()

    def _ask(self, association: Any, question: CommitmentQuestion, deadline: Deadline) -> int:
        name = self._destination.name
        try:
            answer, _ = association.send_n_action(
                _information(question), _REQUEST, STORAGE_COMMITMENT, _INSTANCE
            )
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            raise DestinationDownError(
                f"{name}: the association ended before storage commitment was asked for"
            ) from error
        if "Status" not in answer:
            if deadline.passed:
                raise DestinationDownError(f"{name}: {self._destination.words_for_lateness}")
            # Archives break off so for a node that they do not know as one that may ask.
            raise NotOfferedError(
                f"{name} ended the association instead of answering N-ACTION. Allow this node "
                "storage commitment at the archive"
            )
        status = int(answer.Status)
        if status in _NOT_OFFERED:
            raise NotOfferedError(f"{name} answers N-ACTION with 0x{status:04X}")
        return status


def _information(question: CommitmentQuestion) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = question.transaction_uid
    asked.ReferencedSOPSequence = []
    for one in question.objects:
        item = Dataset()
        item.ReferencedSOPClassUID = one.sop_class_uid
        item.ReferencedSOPInstanceUID = one.sop_instance_uid
        asked.ReferencedSOPSequence.append(item)
    return asked


def _add_event_type(event: Any) -> None:
    """Complete a report without Event Type ID, which the library would leave unanswered."""
    command = event.message.command_set
    if command.get("CommandField") == _N_EVENT_REPORT and command.get("EventTypeID") is None:
        command.EventTypeID = 1  # what it says follows from its content
