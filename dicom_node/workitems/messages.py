"""Data sets that a performer sends to a worklist server (PS3.4 CC.2)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from pydicom.dataset import Dataset

from dicom_node.workitems.discontinuation import code_of
from dicom_node.workitems.workitem import Code

_LONGEST_TEXT: Final = 64
"""PS3.5 6.2, VR LO and SH-like descriptions; longer ones are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A series of results, and where it can be retrieved.

    Attributes
    ----------
    objects : SOP Class UID and SOP Instance UID of each
    titles : AE titles of archives that hold it
    urls : of archives that hold it, of the series
    """

    study_instance_uid: str
    series_instance_uid: str
    objects: tuple[tuple[str, str], ...]
    titles: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What was done for a workitem."""

    began_at: datetime
    ended_at: datetime
    station: Code
    workitem_code: Code
    outputs: tuple[Output, ...] = ()


def new_transaction_uid() -> str:
    """Return a fresh Transaction UID (PS3.5 B.2: a UUID as a decimal number)."""
    return f"2.25.{uuid4().int}"


def state_change(state: str, transaction_uid: str) -> bytes:
    """Return the body of a request to change the state."""
    dataset = Dataset()
    dataset.ProcedureStepState = state
    dataset.TransactionUID = transaction_uid
    return _encoded(dataset)


def progress(transaction_uid: str, percent: int, text: str) -> bytes:
    """Return an update that tells how far the work is."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    dataset.ProcedureStepProgressInformationSequence = [_progress_item(percent, text)]
    return _encoded(dataset)


def performed(transaction_uid: str, done: Performed, text: str) -> bytes:
    """Return the update before COMPLETED, with all that is required of a final state.

    References
    ----------
    PS3.4 CC.2.5.1.3.
    """
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    dataset.ProcedureStepProgressInformationSequence = [_progress_item(100, text)]
    dataset.UnifiedProcedureStepPerformedProcedureSequence = [_performed_item(done)]
    return _encoded(dataset)


def canceled(
    transaction_uid: str, done: Performed, *, discontinuation: str, why: str, percent: int = 0
) -> bytes:
    """Return the update before CANCELED, with when and why."""
    item = _progress_item(percent, why)
    item.ProcedureStepCancellationDateTime = _moment(done.ended_at)
    item.ReasonForCancellation = why[:10_240]
    item.ProcedureStepDiscontinuationReasonCodeSequence = [_code(code_of(discontinuation))]
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    dataset.ProcedureStepProgressInformationSequence = [item]
    dataset.UnifiedProcedureStepPerformedProcedureSequence = [_performed_item(done)]
    return _encoded(dataset)


def _progress_item(percent: int, text: str) -> Dataset:
    item = Dataset()
    item.ProcedureStepProgress = str(percent)
    item.ProcedureStepProgressDescription = text[:1024]
    return item


def _performed_item(done: Performed) -> Dataset:
    item = Dataset()
    item.PerformedProcedureStepStartDateTime = _moment(done.began_at)
    item.PerformedProcedureStepEndDateTime = _moment(done.ended_at)
    item.PerformedStationNameCodeSequence = [_code(done.station)]
    item.PerformedWorkitemCodeSequence = [_code(done.workitem_code)]
    item.OutputInformationSequence = list(_outputs(done.outputs))
    return item


def _outputs(outputs: Iterable[Output]) -> Iterable[Dataset]:
    for one in outputs:
        item = Dataset()
        item.TypeOfInstances = "DICOM"
        item.StudyInstanceUID = one.study_instance_uid
        item.SeriesInstanceUID = one.series_instance_uid
        references = []
        for sop_class, instance in one.objects:
            reference = Dataset()
            reference.ReferencedSOPClassUID = sop_class
            reference.ReferencedSOPInstanceUID = instance
            references.append(reference)
        item.ReferencedSOPSequence = references
        if one.titles:
            item.DICOMRetrievalSequence = [_titled(title) for title in one.titles]
        if one.urls:
            item.WADORSRetrievalSequence = [_located(url) for url in one.urls]
        yield item


def _titled(title: str) -> Dataset:
    item = Dataset()
    item.RetrieveAETitle = title
    return item


def _located(url: str) -> Dataset:
    item = Dataset()
    item.RetrieveURL = url
    return item


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme
    item.CodeMeaning = (code.meaning or code.value)[:_LONGEST_TEXT]
    return item


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")


def _encoded(dataset: Dataset) -> bytes:
    # Within a list, as the DICOM JSON model has it: some servers take nothing else (PS3.18 F.2).
    return json.dumps([dataset.to_json_dict()]).encode()
