"""What a workitem says, read from what a server sends (PS3.4 CC.2.5, PS3.18 11.4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final

from pydicom.dataset import Dataset
from pydicom.valuerep import DT

from dicom_node.errors import NodeError
from dicom_node.facts.identity import KEYWORDS
from dicom_node.facts.priority import Priority
from dicom_node.fetch.found_objects import is_uid, text_in

SCHEDULED: Final = "SCHEDULED"
IN_PROGRESS: Final = "IN PROGRESS"
COMPLETED: Final = "COMPLETED"
CANCELED: Final = "CANCELED"

_PRIORITIES: Final = {
    "HIGH": Priority.STAT,
    "MEDIUM": Priority.ROUTINE,
    "LOW": Priority.OFF_PEAK,
}
"""PS3.3 C.30.2, Scheduled Procedure Step Priority (0074,1200)."""

_MOST_INPUTS: Final = 10_000


class WorkitemError(NodeError):
    """What the server sends is no workitem."""

    reason = "no-workitem"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded term; two are the same by value and scheme."""

    value: str
    scheme: str
    meaning: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Input:
    """One object that a workitem names as its input; empty texts where it does not say."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workitem:
    """A workitem as the server describes it.

    Attributes
    ----------
    starts_at, expected_at : None if it does not say
    patient : the attributes that tell whose study it is, and Study Instance UID if there is one
    studies : Study Instance UIDs of its inputs
    retrieve_titles, retrieve_urls : from where it says that its inputs can be retrieved
    transaction_uid : empty, unless the server shows it
    is_cancel_asked : whether it shows that somebody asked to cancel it; what was said is not read,
        for it may name a patient
    """

    uid: str
    state: str
    label: str
    codes: tuple[Code, ...]
    stations: tuple[Code, ...]
    readiness: str
    starts_at: datetime | None
    expected_at: datetime | None
    priority: Priority
    patient: Dataset
    studies: tuple[str, ...]
    inputs: tuple[Input, ...]
    retrieve_titles: frozenset[str]
    retrieve_urls: frozenset[str]
    transaction_uid: str
    is_cancel_asked: bool

    @property
    def order(self) -> tuple[int, datetime, datetime]:
        """Return what the most urgent workitem is the least of."""
        never = datetime.max.replace(tzinfo=UTC)
        return -self.priority, self.expected_at or never, self.starts_at or never


def workitem_in(answer: Dataset, *, uid: str = "", zone: tzinfo | None = None) -> Workitem:
    """Read a workitem.

    Parameters
    ----------
    uid : of the workitem that was asked for; empty: the answer says
    zone : of times without an offset; None: the machine's

    Raises
    ------
    WorkitemError
        It has no UID, another than was asked for, or more inputs than any study.
    """
    named = text_in(answer, "SOPInstanceUID") or uid
    if not is_uid(named):
        raise WorkitemError("the server sends a workitem without a UID")
    if uid and named != uid:
        raise WorkitemError("the server sends another workitem than was asked for")
    items = _items(answer, "InputInformationSequence")
    inputs = tuple(_inputs(items))
    studies = [text_in(item, "StudyInstanceUID") for item in items]
    studies.append(text_in(answer, "StudyInstanceUID"))
    named_studies = tuple(dict.fromkeys(one for one in studies if one))
    return Workitem(
        uid=named,
        state=text_in(answer, "ProcedureStepState"),
        label=text_in(answer, "WorklistLabel"),
        codes=_codes(answer, "ScheduledWorkitemCodeSequence"),
        stations=_codes(answer, "ScheduledStationNameCodeSequence"),
        readiness=text_in(answer, "InputReadinessState"),
        starts_at=_time(answer, "ScheduledProcedureStepStartDateTime", zone),
        expected_at=_time(answer, "ExpectedCompletionDateTime", zone),
        priority=_PRIORITIES.get(
            text_in(answer, "ScheduledProcedureStepPriority").upper(), Priority.ROUTINE
        ),
        patient=_patient(answer, named_studies),
        studies=named_studies,
        inputs=inputs,
        retrieve_titles=frozenset(_retrievals(items, "DICOMRetrievalSequence", "RetrieveAETitle")),
        retrieve_urls=frozenset(_retrievals(items, "WADORSRetrievalSequence", "RetrieveURL")),
        transaction_uid=text_in(answer, "TransactionUID"),
        is_cancel_asked=_is_cancel_asked(answer),
    )


def _inputs(items: Sequence[Dataset]) -> Iterator[Input]:
    count = 0
    for item in items:
        for reference in _items(item, "ReferencedSOPSequence"):
            count += 1
            if count > _MOST_INPUTS:
                raise WorkitemError(f"the workitem has more than {_MOST_INPUTS} inputs")
            yield Input(
                study_instance_uid=text_in(item, "StudyInstanceUID"),
                series_instance_uid=text_in(item, "SeriesInstanceUID"),
                sop_class_uid=text_in(reference, "ReferencedSOPClassUID"),
                sop_instance_uid=text_in(reference, "ReferencedSOPInstanceUID"),
            )


def _retrievals(items: Sequence[Dataset], sequence: str, keyword: str) -> Iterator[str]:
    for item in items:
        for one in _items(item, sequence):
            if value := text_in(one, keyword):
                yield value


def _patient(answer: Dataset, studies: Sequence[str]) -> Dataset:
    patient = Dataset()
    for keyword in KEYWORDS:
        if value := text_in(answer, keyword):
            setattr(patient, keyword, value)
    if studies:
        patient.StudyInstanceUID = studies[0]
    return patient


def _is_cancel_asked(answer: Dataset) -> bool:
    items = _items(answer, "ProcedureStepProgressInformationSequence")
    return any("ReasonForCancellation" in item for item in items)


def _codes(answer: Dataset, keyword: str) -> tuple[Code, ...]:
    return tuple(
        Code(
            text_in(item, "CodeValue") or text_in(item, "LongCodeValue"),
            text_in(item, "CodingSchemeDesignator"),
            text_in(item, "CodeMeaning"),
        )
        for item in _items(answer, keyword)
    )


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    try:
        return [one for one in dataset.get(keyword) or () if isinstance(one, Dataset)]
    except Exception:  # noqa: BLE001  whatever a library makes of what a server sends
        return []


def _time(answer: Dataset, keyword: str, zone: tzinfo | None) -> datetime | None:
    try:
        text = text_in(answer, keyword)
        if not text:
            return None
        value = DT(text)
        return (value.replace(tzinfo=zone) if value.tzinfo is None else value).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
