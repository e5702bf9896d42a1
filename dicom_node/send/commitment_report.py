"""Reports to a sender what the node has committed to, over an association of its own."""

from typing import Any, Final

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.network import (
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    UNCOMPRESSED,
    associate,
)
from dicom_node.settings.tls import TlsSettings
from dicom_node.settings.ways_out.destinations import DicomDestination

_ALL_COMMITTED: Final = 1
_SOME_FAILED: Final = 2
"""Event Type IDs (PS3.4 J.3.3.1.1)."""

_SUCCESS: Final = 0x0000

Named = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


def send_report(
    peer: DicomDestination,
    transaction_uid: str,
    committed: list[Named],
    failed: list[tuple[Named, int]],
    *,
    calling_ae_title: str,
    tls: TlsSettings,
) -> None:
    """Send an N-EVENT-REPORT.

    Parameters
    ----------
    failed : each with its failure reason (0008,1197)

    Raises
    ------
    DestinationDownError
        The sender does not take it now.
    """
    contexts = {(STORAGE_COMMITMENT, syntax) for syntax in UNCOMPRESSED}
    report, event_type = report_of(transaction_uid, committed, failed)
    with Deadline() as deadline:
        association = associate(
            peer,
            calling_ae_title,
            contexts,
            deadline=deadline,
            tls=tls,
            served=[STORAGE_COMMITMENT],
        )
        with deadline.within(peer.longest_seconds()):
            _report(association, report, event_type)
        if deadline.passed:
            raise DestinationDownError(peer.words_for_lateness)


def _report(association: Any, report: Dataset, event_type: int) -> None:
    if not association.is_established:
        raise DestinationDownError("it accepts no reports on storage commitment")
    try:
        status, _ = association.send_n_event_report(
            report,
            event_type,
            STORAGE_COMMITMENT,
            STORAGE_COMMITMENT_INSTANCE,
        )
    finally:
        association.release()
    answered = status.get("Status")
    if answered is None:
        raise DestinationDownError("it did not answer the report")
    if answered != _SUCCESS:
        raise DestinationDownError(f"it answered the report with status 0x{answered:04X}")


def report_of(
    transaction_uid: str, committed: list[Named], failed: list[tuple[Named, int]]
) -> tuple[Dataset, int]:
    """Return the data set of a report and its Event Type ID (PS3.4 table J.3-2)."""
    report = Dataset()
    report.add(_uid("TransactionUID", transaction_uid))
    if committed:
        report.ReferencedSOPSequence = [_item(one) for one in committed]
    if failed:
        report.FailedSOPSequence = [_item(one, reason) for one, reason in failed]
    return report, _SOME_FAILED if failed else _ALL_COMMITTED


def _item(named: Named, failure_reason: int | None = None) -> Dataset:
    item = Dataset()
    for keyword, uid in zip(
        ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"), named, strict=True
    ):
        item.add(_uid(keyword, uid))
    if failure_reason is not None:
        item.FailureReason = failure_reason
    return item


def _uid(keyword: str, uid: str) -> DataElement:
    # As the sender has it, to the letter or not: it would not know another one.
    return DataElement(keyword, "UI", uid, validation_mode=IGNORE)
